"""`synfill init`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synfill.cli.app import Quiet, Verbose, app, set_verbosity
from synfill.cli.options import (
    ConfigOption,
    FileColumnOption,
    GroupOption,
    ImageOption,
    ImageRootOption,
    LabelOption,
    LayoutOption,
    SourceArgument,
    SplitOption,
)
from synfill.cli.output import ConsoleReporter, say, say_command

if TYPE_CHECKING:
    from synfill.starter.run import Started


@app.command()
def init(
    source: SourceArgument = None,
    out: Annotated[Path, typer.Option(help="The folder for the two files.")] = Path("."),
    split: SplitOption = None,
    label: LabelOption = None,
    group: GroupOption = None,
    config: ConfigOption = None,
    image: ImageOption = None,
    layout: LayoutOption = None,
    image_root: ImageRootOption = None,
    file_column: FileColumnOption = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files of these names.")
    ] = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Write a commented recipe and prompts file for a dataset, to begin with.

    What they say suits it: columns, splits, sizes, steps, and the names that need words. Reads
    labels, and the size of a few images.

    Example: [bold]synfill init photos --group gender[/bold]
    """
    from synfill.starter.run import write_start

    set_verbosity(verbose, quiet)
    started = write_start(
        source or ".",
        out=out,
        split=split,
        label=label,
        group=group or (),
        config=config,
        image=image,
        layout=layout,
        image_root=image_root,
        file_column=file_column,
        overwrite=overwrite,
    )
    _tell(started)


def _tell(started: Started) -> None:
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
            f"{facts.source} has no split to test on: name a dataset as data.test in "
            f"{started.recipe}."
        )
