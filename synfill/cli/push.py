"""`synfill push`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from synfill.cli.options import OptionsOf
from synfill.cli.output import ConsoleReporter, say
from synfill.config.push import PushSettings
from synfill.records import JsonObject


def push(
    *,
    out: Annotated[
        Path, typer.Argument(help="The output folder of synfill balance.", show_default=False)
    ],
    given: Annotated[JsonObject, OptionsOf(PushSettings)],
) -> None:
    """Push a balanced dataset to the Hugging Face Hub, and check that it arrived whole.

    A push that broke off goes on with the same command: only what is missing is sent.

    Example: [bold]synfill push photos-balanced alice/photos-balanced --private[/bold]
    """
    from synfill.hub.upload.destination import check_destination
    from synfill.hub.upload.listing import read_dataset
    from synfill.hub.upload.push import push_dataset

    reporter = ConsoleReporter()
    local = read_dataset(out)
    settings = PushSettings(**given)
    source = local.record.get("source")
    name = str(source.get("name") or "") if isinstance(source, dict) else ""
    destination = check_destination(settings, name, local.record["identity"], local, reporter.note)
    # Who will see it is told under -q too.
    say(destination.audience())
    pushed = push_dataset(local, destination, reporter.note)
    for line in pushed.summary():
        say(line)
