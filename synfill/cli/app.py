"""The Typer app, main(), and the one table that turns errors into messages and exit codes."""

from __future__ import annotations

import errno
import io
import os
import sys
import traceback
from typing import Annotated

import typer

from synfill import __version__
from synfill.cli.output import VERBOSITY, hide_bars, show_error
from synfill.errors import SynfillError
from synfill.masking import masked_streams
from synfill.transport import check_endpoint

Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Say more.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing but results and warnings.")]

app = typer.Typer(
    name="synfill",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="See how unevenly an image dataset is filled, and fill it with a diffusion pipeline.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"synfill {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    verbose: Verbose = False,
    quiet: Quiet = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    set_verbosity(verbose, quiet)
    # huggingface_hub, which much else loads, doesn't survive some of these.
    check_endpoint()


def set_verbosity(verbose: bool, quiet: bool) -> None:
    """Take -v and -q, before the command's name or after it."""
    VERBOSITY.verbose |= verbose
    VERBOSITY.quiet |= quiet
    if VERBOSITY.quiet or not sys.stderr.isatty():
        hide_bars()


def main() -> None:
    """Run the command line; every error ends in one message and its exit code.

    0 for success, 2 for wrong use, 1 for a failed run, 130 for Ctrl-C. SYNFILL_DEBUG=1 prints the
    traceback too.
    """
    for stream in (sys.stdout, sys.stderr):
        # A terminal or file that can't hold a character gets its number, not a crash.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # torch's threads otherwise spin while they wait for each other, which on a busy machine makes
    # small models ten times slower (seen: 2 instead of 30 images a second). Read when torch loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Also what libraries print, and tracebacks: with a password in HF_ENDPOINT, say.
    with masked_streams():
        _run()


def _run() -> None:
    try:
        # Registers the commands; here, so that app.py can be imported by each of them.
        import synfill.cli.analyze
        import synfill.cli.balance
        import synfill.cli.demo
        import synfill.cli.env
        import synfill.cli.predict
        import synfill.cli.push
        import synfill.cli.recipes
        import synfill.cli.train  # noqa: F401

        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        message, hint, code = _explain(error)
        if os.environ.get("SYNFILL_DEBUG") == "1":
            # Not raised again: the interpreter would print it, past the masks.
            traceback.print_exception(error)
        show_error(message, hint)
        sys.exit(code)


def _explain(error: Exception) -> tuple[str, str, int]:
    match error:
        case SynfillError():
            return error.message, error.hint, error.exit_code
        case OSError(errno=errno.ENOSPC):
            return f"The disk is full: {error}", "Make room and run the same command again.", 1
        case PermissionError():
            return f"No permission: {error}", "Check who may read or write there.", 1
        case OSError():
            return f"The system refused: {error}", "Check the path that is named.", 1
        case MemoryError():
            return "Out of memory.", "Close other programs, or use a smaller --batch-size.", 1
        case _:
            return (
                f"This is a mistake in synfill, not yours: {type(error).__name__}: {error}",
                "Please report it with the output of SYNFILL_DEBUG=1 and of synfill env.",
                1,
            )
