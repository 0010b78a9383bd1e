"""The Typer app, main(), and the one table that turns errors into messages and exit codes."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
import traceback
from typing import TYPE_CHECKING, Annotated

import typer

from synfill import __version__
from synfill.cli.analyze import analyze
from synfill.cli.balance import balance
from synfill.cli.demo import demo
from synfill.cli.env import env
from synfill.cli.help_layout import App
from synfill.cli.init import init
from synfill.cli.options import Quiet, Verbose
from synfill.cli.output import set_verbosity, show_error
from synfill.cli.predict import predict
from synfill.cli.push import push
from synfill.cli.recipes import recipes
from synfill.cli.stopping import CTRL_C, STOPPING, code_of
from synfill.cli.train import train
from synfill.errors import SynfillError, UsageError
from synfill.hub.client import check_endpoint
from synfill.masking import masked_streams

if TYPE_CHECKING:
    from typing_extensions import Buffer

app = App(
    name="synfill",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="See how unevenly an image dataset is filled, and fill it with a diffusion pipeline.\n\n"
    "Example: [bold]synfill demo[/bold] shows the whole of it, offline.",
)


for command in (analyze, balance, demo, init, predict, push, train):
    app.command()(command)
app.command(has_verbosity=False)(env)
app.add_typer(recipes, name="recipes")


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


def main() -> None:
    """Run the command line; every error ends in one message and its exit code.

    0 for success, 2 for wrong use, 1 for a failed run, 130 for Ctrl-C. SYNFILL_DEBUG=1 prints the
    traceback too.
    """
    _prepare_streams()
    # torch's threads otherwise spin while they wait for each other, which on a busy machine makes
    # small models ten times slower (seen: 2 instead of 30 images a second). Read when torch loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Also what libraries print, and tracebacks: with a password in HF_ENDPOINT, say.
    with masked_streams():
        _call_and_explain()


def _call_and_explain() -> None:
    try:
        STOPPING.begin_command()
        _call_and_flush()
    except KeyboardInterrupt:
        STOPPING.say_stopped()
        sys.exit(STOPPING.exit_code)
    except Exception as error:
        message, hint, code = _explain(error)
        if os.environ.get("SYNFILL_DEBUG") == "1":
            # Not raised again: the interpreter would print it, past the masks.
            traceback.print_exception(error)
        if STOPPING.is_asked and not isinstance(error, SynfillError):
            # What an interrupted import or a closed terminal raised, and not what the user did.
            STOPPING.say_stopped()
        else:
            # Wrong use is wrong in all processes of a launcher; a run that failed may be one's own.
            if _is_first_here() or not isinstance(error, UsageError):
                show_error(message, hint)
            STOPPING.mark_as_reported()
        sys.exit(STOPPING.exit_code if STOPPING.is_asked else code)


def _prepare_streams() -> None:
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            # Whoever started the process closed it.
            nowhere = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
            setattr(sys, name, nowhere)
        elif isinstance(stream, io.TextIOWrapper):
            # A terminal or file that can't hold a character gets its number, not a crash.
            stream.reconfigure(errors="backslashreplace")
    if sys.stderr is sys.__stderr__ and isinstance(sys.stderr, io.TextIOWrapper):
        raw = io.BufferedWriter(_Lenient(sys.stderr.fileno(), "w", closefd=False))
        sys.stderr = io.TextIOWrapper(
            raw, sys.stderr.encoding, sys.stderr.errors, line_buffering=True
        )


class _Lenient(io.FileIO):
    """Notes that nobody can read any more (the terminal is closed, the log's disk is full) are
    no reason to stop a run, nor for another exit code.
    """

    def write(self, data: Buffer, /) -> int:
        try:
            return super().write(data) or 0
        except OSError:
            return memoryview(data).nbytes


def _call_and_flush() -> None:
    """Run the command, and bring what it printed to where it goes.

    Raises:
        KeyboardInterrupt: It was interrupted.
        OSError: What it printed couldn't be written.
    """
    try:
        _call_app()
    except SystemExit as end:
        if end.code == CTRL_C:
            # Typer makes this of a KeyboardInterrupt.
            raise KeyboardInterrupt from None
        try:
            # Here and not in the interpreter's end, which would have words of its own.
            sys.stdout.flush()
            STOPPING.end_with(code_of(end))
        except OSError as error:
            _drop_stdout()
            if not isinstance(error, BrokenPipeError):
                raise
            # Who read it has left, which takes no words; but not all of it was read.
            end.code = end.code or 1
        raise


def _drop_stdout() -> None:
    """Whatever is still to be written goes nowhere."""
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _call_app() -> None:
    """Run the command; of several processes only the first says which options are wrong."""
    if _is_first_here():
        app()
        return
    try:
        code = app(standalone_mode=False)
    except Exception as error:
        # Typer's own errors, which it would print; it carries a click of its own.
        if not (hasattr(error, "format_message") and hasattr(error, "exit_code")):
            raise
        code = error.exit_code
    sys.exit(code if isinstance(code, int) else 0)


def _is_first_here() -> bool:
    """Whether this is the first of the processes that a launcher started on this machine."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


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
