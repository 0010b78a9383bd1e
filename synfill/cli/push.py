"""`synfill push`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from synfill.cli.options import OptionsOf
from synfill.cli.output import ConsoleReporter, say
from synfill.config.balance import BalanceSettings
from synfill.records import JsonObject


def push(
    *,
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
    revision: Annotated[
        str | None, typer.Option(help="The branch, made if it isn't there. Default: main.")
    ] = None,
    given: Annotated[
        JsonObject, OptionsOf(BalanceSettings, ("private", "create_pr", "commit_message"))
    ],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what others put or changed there.")
    ] = False,
) -> None:
    """Push a balanced dataset to the Hugging Face Hub, and check that it arrived whole.

    A push that broke off goes on with the same command: only what is missing is sent.

    Example: [bold]synfill push photos-balanced alice/photos-balanced --private[/bold]
    """
    from synfill.hub.upload.destination import PushSettings, check_destination
    from synfill.hub.upload.listing import read_dataset
    from synfill.hub.upload.push import push_dataset

    reporter = ConsoleReporter()
    local = read_dataset(out)
    settings = PushSettings(repo_id, revision=revision, overwrite=overwrite, **given)
    source = local.record.get("source")
    name = str(source.get("name") or "") if isinstance(source, dict) else ""
    destination = check_destination(settings, name, local.record["identity"], local, reporter.note)
    # Who will see it is told under -q too.
    say(destination.audience())
    pushed = push_dataset(local, destination, reporter.note)
    for line in pushed.summary():
        say(line)
