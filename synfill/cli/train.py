"""`synfill train`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.cells import cell_len
from rich.text import Text

from synfill.cli.options import OptionsOf
from synfill.cli.output import ConsoleReporter, figures_table, say, stdout
from synfill.config.balance import BalanceSettings
from synfill.config.dataset import HUB
from synfill.errors import UsageError
from synfill.records import JsonObject

if TYPE_CHECKING:
    from synfill.training.request import TrainResult

_HUB = "The Hugging Face Hub"


def train(
    *,
    recipe: Annotated[
        str, typer.Argument(help="A recipe file, or the name of one in synfill recipes list.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE",
            help="Other values for the recipe's keys, e.g. stages.0.epochs=10 model=resnet56.",
            show_default=False,
        ),
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option(
            help="Run these methods side by side instead of the recipe's own stages: ce, mixup, "
            "oversample, undersample, synaug, synaug-mixup, synaug-mixup-retrain, "
            "synaug-mixup-retrain-real, or those that the recipe defines.",
            metavar="METHOD,METHOD,...",
        ),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            help="A training run for each. Default: the recipe's.", metavar="SEED,SEED,..."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The output folder. Default: runs/NAME.")] = None,
    device: Annotated[str, typer.Option(help="auto, cuda, cuda:1, mps, cpu.")] = "auto",
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace results of other settings in the output folder."),
    ] = False,
    push_to_hub: Annotated[
        bool,
        typer.Option(
            "--push-to-hub",
            help="Push the model and its metrics to the Hub. Whether that can be done is asked "
            "before the start.",
            rich_help_panel=HUB,
        ),
    ] = False,
    repo_id: Annotated[
        str | None,
        typer.Option(
            help="Where to. Default: USER/RECIPE.", metavar="OWNER/NAME", rich_help_panel=HUB
        ),
    ] = None,
    given: Annotated[JsonObject, OptionsOf(BalanceSettings, ("private",))],
) -> None:
    """Train a classifier on real and synthetic images as a recipe says, or compare methods.

    A run that was stopped goes on with the same command. On several GPUs:
    accelerate launch -m synfill train RECIPE

    Example: [bold]synfill train demo --compare ce,synaug-mixup-retrain --seeds 0,1,2[/bold]
    """
    from synfill.training.request import TrainSettings
    from synfill.training.run import train_recipe

    settings = TrainSettings(
        recipe=recipe,
        overrides=tuple(overrides or ()),
        seeds=_parse_seeds(seeds) if seeds is not None else None,
        out=out,
        device=device,
        compare=tuple(part.strip() for part in compare.split(",")) if compare is not None else (),
        overwrite=overwrite,
        push_to_hub=push_to_hub,
        repo_id=repo_id,
        **given,
    )
    reporter = ConsoleReporter()
    try:
        result = train_recipe(settings, reporter)
    finally:
        reporter.close()
    # Of several processes one speaks.
    if int(os.environ.get("RANK", "0")) == 0:
        show(result)


def _parse_seeds(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(
            f"--seeds takes whole numbers with commas, not '{text}'.", "For example --seeds 0,1,2"
        ) from None


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
