"""`synfill push`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from synfill.cli.app import Quiet, Verbose, app, set_verbosity
from synfill.cli.options import CommitMessageOption, CreatePrOption, PrivateOption
from synfill.cli.output import ConsoleReporter, say


@app.command()
def push(
    out: Annotated[
        Path, typer.Argument(help="The output folder of synfill balance.", show_default=False)
    ],
    repo_id: Annotated[
        str | None,
        typer.Argument(
            help="owner/name on the Hub, or a name under your own account. Default: "
            "USER/SOURCE-balanced.",
            show_default=False,
        ),
    ] = None,
    private: PrivateOption = None,
    revision: Annotated[
        str | None, typer.Option(help="The branch, made if it isn't there. Default: main.")
    ] = None,
    create_pr: CreatePrOption = None,
    commit_message: CommitMessageOption = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what others put or changed there.")
    ] = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Push a balanced dataset to the Hugging Face Hub, and check that it arrived whole.

    A push that broke off goes on with the same command: only what is missing is sent.

    Example: [bold]synfill push photos-balanced alice/photos-balanced --private[/bold]
    """
    from synfill.hub.upload.destination import PushSettings, check_destination
    from synfill.hub.upload.listing import read_dataset
    from synfill.hub.upload.push import push_dataset

    set_verbosity(verbose, quiet)
    reporter = ConsoleReporter()
    local = read_dataset(out)
    settings = PushSettings(
        repo_id, private, revision, bool(create_pr), commit_message, overwrite=overwrite
    )
    source = local.record.get("source")
    name = str(source.get("name") or "") if isinstance(source, dict) else ""
    destination = check_destination(settings, name, local.record["identity"], local, reporter.note)
    # Who will see it is told under -q too.
    say(destination.audience())
    pushed = push_dataset(local, destination, reporter.note)
    for line in pushed.summary():
        say(line)
