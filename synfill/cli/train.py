"""`synfill train`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from rich.cells import cell_len
from rich.text import Text

from synfill.cli.options import OptionsOf
from synfill.cli.output import ConsoleReporter, figures_table, say, stdout
from synfill.config.arguments import make_settings
from synfill.config.train import TrainSettings
from synfill.records import JsonObject

if TYPE_CHECKING:
    from synfill.training.request import TrainResult


def train(*, given: Annotated[JsonObject, OptionsOf(TrainSettings)]) -> None:
    """Train a classifier on real and synthetic images as a recipe says, or compare methods.

    A run that was stopped goes on with the same command. On several GPUs:
    accelerate launch -m synfill train RECIPE

    Example: [bold]synfill train demo --compare ce,synaug-mixup-retrain --seeds 0,1,2[/bold]
    """
    from synfill.training.run import train_recipe

    hint = "synfill train --help lists all options."
    settings = make_settings(TrainSettings, given, "The command line", hint)
    with ConsoleReporter() as reporter:
        result = train_recipe(settings, reporter)
    # Of several processes one speaks.
    if int(os.environ.get("RANK", "0")) == 0:
        show(result)


def show(result: TrainResult) -> None:
    """Print what a run gave."""
    from synfill.evaluation.comparison import percent
    from synfill.evaluation.metrics.base import names_for_tables
    from synfill.evaluation.results import scalar

    console = stdout()
    if result.comparison is not None:
        comparison = result.comparison
        title = f"Methods on the test images, %; {comparison.describe_budget()}"
        columns, rows = comparison.columns(), comparison.rows()
        differences = comparison.first_difference()
    else:
        runs = next(iter(result.results.values()))
        tests = [run.test for run in runs.values()]
        title, columns, differences = f"{result.recipe.name} on the test images, %", [""], 1
        rows = [
            (name.replace("_", " "), percent(found))
            for name in names_for_tables()
            if (found := scalar(tests, name)) is not None
        ]
    console.print(Text(title, "bold"))
    for number, chosen in enumerate(fitting_columns(columns, rows, console.width, differences)):
        if number:
            console.print()
        part = [(row[0], *(row[1 + at] for at in chosen)) for row in rows]
        console.print(figures_table("", [columns[at] for at in chosen], part))
    console.print()
    for line in result.summary():
        say(line, console)


def fitting_columns(
    columns: Sequence[str], rows: Sequence[tuple[str, ...]], width: int, second: int
) -> list[list[int]]:
    """The columns of a table, in parts that fit a terminal below each other.

    Args:
        columns: Their titles.
        rows: A name, then a value a column.
        width: Of the terminal.
        second: The column that a new part begins with, where one part can't hold all.

    Returns:
        For each part its columns' positions: at least one.
    """
    room = width - max((cell_len(row[0]) for row in rows), default=0)
    # Two spaces stand between columns.
    needed = [
        2 + max(cell_len(cell) for cell in (column, *(row[1 + at] for row in rows)))
        for at, column in enumerate(columns)
    ]
    if sum(needed) <= room:
        return [list(range(len(columns)))]
    parts: list[list[int]] = []
    left = 0
    for at, own in enumerate(needed):
        if own > left or at == second or not parts:
            parts.append([])
            left = room
        parts[-1].append(at)
        left -= own
    return parts
