"""`synfill demo`: the whole of it on built-in data, offline, on a CPU."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from synfill.cli.analyze import figure_rows
from synfill.cli.meanings import TAIL, meaning
from synfill.cli.output import ConsoleReporter, figures_table, say, say_command, stdout
from synfill.cli.train import show as show_training

if TYPE_CHECKING:
    from synfill.analysis.histogram import Histogram
    from synfill.analysis.run import Analysis
    from synfill.balancing.result import BalanceResult
    from synfill.training.request import TrainResult

BALANCE: dict[str, Any] = {"model": "demo", "by": "class+ink", "target": "uniform:25"}
RECIPE = "demo"
METHODS = ("ce", "synaug-mixup-retrain")
GROUP = "ink"
_SHOWN = ("images", "smallest", "imbalance", "Gini", "effective", "many", "Cramér")
"""How the names of the figures begin that are shown before and after."""


def demo(
    out: Annotated[Path, typer.Option(help="The output folder.")] = Path("synfill-demo"),
) -> None:
    """Run everything once on built-in data: real scans of digits in four inks, very uneven.

    Needs no network, no GPU and no token; a minute or two. Prints the commands it stands for, and
    what they found in short.

    Example: [bold]synfill demo[/bold]
    """
    from synfill.analysis.run import analyze

    say(
        "Real handwritten digits in four inks. Most digits are rare, and most images of a digit "
        "are in its own ink: class imbalance and a spurious correlation in one."
    )
    _command(f"synfill analyze demo --group {GROUP}")
    before = analyze("demo", group=GROUP)
    stdout().print(_grid(before.splits[0]))
    _command(
        "synfill balance demo "
        + " ".join(f"--{name} {value}" for name, value in BALANCE.items())
        + f" --out {out}"
    )
    say(
        "This model knows digits and nothing else: it stands in here for a public model, which "
        "has seen the whole web. On your own data use another --model."
    )
    for line in _balance(out).summary():
        say(line)
    _command(f"synfill analyze {out} --group {GROUP} -v")
    _show_change(before, analyze(out, group=GROUP))
    trained = Path(f"{out}-trained")
    _command(
        f"synfill train {RECIPE} data.synthetic={out} --compare {','.join(METHODS)} --seeds 0 "
        f"--out {trained}"
    )
    say(
        "ce: trained on the real images alone; synaug-mixup-retrain: on both with Mixup, then the "
        "last layer again without. Tested on 2,000 other real images, all digits and inks "
        f"alike. {TAIL}"
    )
    show_training(_train(out, trained))
    stdout().print()
    for line in _what_next(out, trained):
        say(line)


def _balance(out: Path) -> BalanceResult:
    from synfill.balancing.run import run_balance
    from synfill.balancing.settings import make_settings

    settings = make_settings({"source": "demo", "out": out, **BALANCE}, "The demo")
    with ConsoleReporter() as reporter:
        return run_balance(settings, reporter)


def _train(out: Path, trained: Path) -> TrainResult:
    from synfill.config.train import TrainSettings
    from synfill.training.run import train_recipe

    training = TrainSettings(
        recipe=RECIPE,
        overrides=(f"data.synthetic={out}",),
        seeds=(0,),
        out=trained,
        compare=METHODS,
    )
    with ConsoleReporter() as reporter:
        return train_recipe(training, reporter)


def _grid(histogram: Histogram) -> Table:
    """Images of each digit (a row) in each ink (a column)."""
    inks = [count.name for count in histogram.groups[0].counts]
    images = {(one.cell.label, dict(one.cell.groups)[GROUP]): one.images for one in histogram.cells}
    table = Table(box=None, pad_edge=False)
    table.add_column("images")
    for ink in inks:
        table.add_column(ink, justify="right", style="cyan")
    for count in histogram.classes:
        table.add_row(count.name, *(f"{images[count.name, ink]:,}" for ink in inks))
    return table


def _show_change(before: Analysis, after: Analysis) -> None:
    """The figures before and after, and what they mean."""
    was, now = dict(figure_rows(before.splits[0])), dict(figure_rows(after.splits[0]))
    # The cell's own name has no room here.
    rows = [
        (name, was[name].split(" (")[0], now[name].split(" (")[0])
        for name in was
        if name.startswith(_SHOWN)
    ]
    meanings = [meaning(name) for name, _, _ in rows]
    stdout().print(figures_table("", ["before", "after"], rows, meanings))


def _what_next(out: Path, trained: Path) -> list[str]:
    return [
        f"Look at {out / 'synfill' / 'samples.png'} (real beside made) and {out / 'README.md'}.",
        f"Trained models: {trained / 'METHOD' / 'seed-0' / 'model'}. Use one:",
        f"  synfill predict {trained / METHODS[-1] / 'seed-0' / 'model'} IMAGES",
        "Next, on your own data: synfill init FOLDER writes a recipe for it.",
    ]


def _command(line: str) -> None:
    stdout().print()
    say_command(f"$ {line}")
