"""`synfill predict`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.table import Table
from rich.text import Text

from synfill.cli.app import Quiet, Verbose, app, set_verbosity
from synfill.cli.output import ConsoleReporter, stderr, stdout
from synfill.records import JsonObject

if TYPE_CHECKING:
    from numpy.typing import NDArray

_UNBROKEN = 100_000
_TOP = 3


@app.command()
def predict(
    model: Annotated[
        str,
        typer.Argument(
            help="A trained classifier: a folder (OUT/seed-0/model), or its name on the Hub "
            "(owner/name or owner/name@revision)."
        ),
    ],
    images: Annotated[
        list[Path], typer.Argument(help="Image files, or folders: all images below them.")
    ],
    top: Annotated[
        int | None,
        typer.Option(
            min=1,
            help=f"How many classes to show of each image. Default: {_TOP}; in JSON all.",
            metavar="K",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON list, nothing else.")
    ] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Images at a time.")] = 64,
    device: Annotated[
        str, typer.Option(help="Where to compute: auto, cuda, cuda:1, mps, cpu.")
    ] = "auto",
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Show which class a trained classifier sees in images, and how sure it is.

    An image that can't be read is told on stderr, and the exit code is 1 then.

    Example: [bold]synfill predict OUT/seed-0/model photos[/bold]
    """
    from synfill.training.imagefiles import find_images

    set_verbosity(verbose, quiet)
    files = find_images(images)

    from synfill.training.classifier import load_classifier

    classifier = load_classifier(model, device=device)
    reporter = ConsoleReporter()
    shown: list[tuple[Path, NDArray[np.float32]]] = []
    bad: list[tuple[Path, str]] = []
    for done, (file, result) in enumerate(
        zip(files, classifier.predict_each(files, batch_size), strict=True), start=1
    ):
        if isinstance(result, str):
            bad.append((file, result))
        else:
            shown.append((file, result))
        if len(files) > batch_size:
            reporter.progress("Predicting", done, len(files))
    reporter.close()
    if as_json:
        count = top or len(classifier.classes)
        found = [_to_json(file, row, classifier.classes, count) for file, row in shown]
        # Escaped, it is the same JSON in every encoding.
        utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        print(json.dumps(found, indent=2, ensure_ascii=not utf8))
    elif shown:
        # In a pipe one line an image, whatever its name: others read it line by line.
        stdout(piped_width=_UNBROKEN).print(_table(shown, classifier.classes, top or _TOP))
    for file, reason in bad:
        stderr().print(Text(f"{file}: {reason}"))
    if bad:
        raise typer.Exit(1)


def _to_json(
    file: Path, row: NDArray[np.float32], classes: tuple[str, ...], count: int
) -> JsonObject:
    order = _order(row)
    return {
        "file": str(file),
        "class": classes[order[0]],
        "probability": float(row[order[0]]),
        "probabilities": {classes[k]: float(row[k]) for k in order[:count]},
    }


def _table(
    shown: list[tuple[Path, NDArray[np.float32]]], classes: tuple[str, ...], count: int
) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("file", overflow="fold")
    table.add_column("class", overflow="fold", style="cyan")
    table.add_column("probability", justify="right", style="cyan")
    if count > 1:
        table.add_column("then", overflow="fold", style="dim")
    for file, row in shown:
        first, *others = _order(row)[:count]
        then = ", ".join(f"{classes[k]} {_percent(row[k])}" for k in others)
        cells = [str(file), classes[first], _percent(row[first]), then]
        table.add_row(*(Text(cell) for cell in cells[: 4 if count > 1 else 3]))
    return table


def _order(row: NDArray[np.float32]) -> list[int]:
    """The classes, the most probable first; of equal ones the first."""
    return [int(k) for k in np.argsort(-row, kind="stable")]


def _percent(probability: np.float32) -> str:
    return f"{100 * float(probability):.1f} %"
