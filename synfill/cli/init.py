"""`synfill init`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from synfill.cli.options import OptionsOf
from synfill.cli.output import ConsoleReporter, say, say_command
from synfill.config.dataset import InitSettings
from synfill.records import JsonObject

if TYPE_CHECKING:
    from synfill.starter.write import Started


def init(*, given: Annotated[JsonObject, OptionsOf(InitSettings)]) -> None:
    """Write a commented recipe and prompts file for a dataset, to begin with.

    What they say suits it: columns, splits, sizes, steps, and the names that need words. Reads
    labels, and the size of a few images.

    Example: [bold]synfill init photos --group gender[/bold]
    """
    from synfill.config.arguments import make_settings
    from synfill.starter.write import write_start

    hint = "synfill init --help lists all options."
    settings = make_settings(InitSettings, given, "The command line", hint)
    _show(write_start(settings))


def _show(started: Started) -> None:
    from synfill.starter.texts import dry_run, shell

    facts, reporter = started.facts, ConsoleReporter()
    say(f"Wrote {started.recipe} and {started.prompts}. Read them, then:")
    if facts.makes_images:
        say_command(f"  {dry_run(facts, str(started.prompts))}")
    say_command(f"  synfill train {shell(str(started.recipe))}")
    for column, names in facts.unclear.items():
        where = "names of classes" if column == "classes" else f"values of '{column}'"
        shown = ", ".join(f"'{name}'" for name in names[:5]) + ", ..." * (len(names) > 5)
        reporter.warn(
            f"To a text encoder some {where} say nothing ({shown}): give words for them in "
            f"{started.prompts}."
        )
    if facts.test is None:
        reporter.warn(
            f"{facts.reading.source} has no split to test on: name a dataset as data.test in "
            f"{started.recipe}."
        )
