"""`synfill predict`."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.table import Table
from rich.text import Text

from synfill.cli.options import OptionsOf
from synfill.cli.output import (
    FOLD_ABOVE,
    VERBOSITY,
    ConsoleReporter,
    figures_table,
    print_json,
    stderr,
    stdout,
)
from synfill.config.arguments import make_settings
from synfill.config.dataset import PredictSettings
from synfill.errors import UsageError
from synfill.files import atomic_write
from synfill.records import JsonObject

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from synfill.classifier.predict import Classifier
    from synfill.classifier.scoring import Score, Scoring

_UNBROKEN = 100_000
_TOP = 3
_MOST_BAD, _NAMED = 20, 10
_OF_DATASETS = ("split", "label", "config", "image")


def predict(
    *,
    model: Annotated[
        str,
        typer.Argument(
            help="A trained classifier: a folder (OUT/seed-0/model), or its name on the Hub "
            "(owner/name or owner/name@revision)."
        ),
    ],
    images: Annotated[
        list[str],
        typer.Argument(
            help="Image files, or folders: all images below them. Or one dataset: anything that "
            "synfill analyze reads (a folder with a folder for each class, Parquet, a balanced "
            "folder, a Hub id)."
        ),
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
    output: Annotated[
        Path | None,
        typer.Option(help="Write a line for each image into a file.", metavar="FILE.csv"),
    ] = None,
    given: Annotated[JsonObject, OptionsOf(PredictSettings)],
) -> None:
    """Show which class a trained classifier sees in images, and how sure it is; of a dataset, how
    often it is right.

    An image that can't be read is told on stderr, and the exit code is 1 then.

    Example: [bold]synfill predict OUT/seed-0/model photos[/bold]
    """
    if output is not None and output.suffix.lower() != ".csv":
        raise UsageError(f"--output writes .csv, not '{output.name}'.")
    hint = "synfill predict --help lists all options."
    settings = make_settings(PredictSettings, given, "The command line", hint)
    for name in images:
        _check_there(name)

    from synfill.classifier.imagefiles import find_images
    from synfill.classifier.load import load_classifier
    from synfill.classifier.scoring import Scoring, open_dataset

    files: list[Path] | None = None
    if not any(_may_be_dataset(name) for name in images):
        # What isn't there is told before torch is loaded.
        files = find_images([Path(name) for name in images])
    classifier = load_classifier(model, device=settings.device)
    if files is None:
        sources = [
            open_dataset(name, classifier.classes, settings.config, settings.image)
            for name in images
        ]
        datasets = [source for source in sources if source is not None]
        if len(datasets) > 1 or (datasets and len(images) > 1):
            raise UsageError(
                f"{datasets[0].origin.location} is a dataset, and more was given.",
                "Give one dataset, or image files and folders of images.",
            )
        if datasets:
            scoring = Scoring(datasets[0], classifier, settings.split, settings.label)
            has_bad = _predict_dataset(scoring, top, as_json, output, settings.batch_size)
            raise typer.Exit(int(has_bad))
        files = find_images([Path(name) for name in images])
    if wrong := [f"--{name}" for name in _OF_DATASETS if name in given]:
        raise UsageError(
            f"{' and '.join(wrong)} {'say' if len(wrong) > 1 else 'says'} something of a dataset, "
            "and these are image files.",
            "Leave it out, or give a dataset. A folder with a folder for each class is one where "
            f"these are called as the classifier's: {', '.join(classifier.classes[:5])}, ...",
        )
    if _predict_files(classifier, files, top, as_json, output, settings.batch_size):
        raise typer.Exit(1)


def _check_there(name: str) -> None:
    path = Path(name)
    if not path.exists() and (path.is_absolute() or name.startswith(".")):
        raise UsageError(f"There is no file or folder {name}.")


def _may_be_dataset(name: str) -> bool:
    """Whether it is anything else than a file that isn't a table."""
    path = Path(name)
    return not path.is_file() or path.suffix.lower() in (".parquet", ".csv", ".tsv", ".jsonl")


def _predict_files(
    classifier: Classifier,
    files: Sequence[Path],
    top: int | None,
    as_json: bool,
    output: Path | None,
    batch_size: int,
) -> bool:
    """Show what is seen in each file; whether one of them can't be read."""
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
    if output is not None:
        with _lines_into(output, ("file", "class", "probability")) as write:
            for file, row in shown:
                write((str(file), *_best(row, classifier.classes)))
    if as_json:
        count = top or len(classifier.classes)
        print_json([_to_json(file, row, classifier.classes, count) for file, row in shown])
    elif shown and output is None:
        # In a pipe one line an image, whatever its name: others read it line by line.
        stdout(piped_width=_UNBROKEN).print(_table(shown, classifier.classes, top or _TOP))
    for file, reason in bad:
        stderr().print(Text(f"{file}: {reason}"))
    _note_written(reporter, output, len(shown))
    return bool(bad)


def _predict_dataset(
    scoring: Scoring, top: int | None, as_json: bool, output: Path | None, batch_size: int
) -> bool:
    """Show how often the classifier is right on a dataset; whether an image can't be read."""
    if top is not None:
        raise UsageError(
            "--top is of image files; of a dataset the accuracy is shown.",
            "Leave --top out. --output FILE.csv writes what is seen in each image.",
        )
    reporter, score = ConsoleReporter(), scoring.score
    header = ("file", "class", "probability", "label", "synthetic")
    with _lines_into(output, header) as write:
        for done, one in enumerate(scoring.classify(batch_size), start=1):
            if isinstance(one.probabilities, str):
                if score.bad <= _MOST_BAD:
                    stderr().print(Text(f"{one.where}: {one.probabilities}"))
            else:
                best = _best(one.probabilities, score.classes)
                write((one.where, *best, one.label, str(one.synthetic).lower()))
            reporter.progress("Predicting", done, scoring.count)
    reporter.close()
    if score.bad > _MOST_BAD:
        reporter.warn(f"{score.bad - _MOST_BAD:,} more images can't be used.")
    for note in _notes(scoring):
        reporter.note(note)
    if as_json:
        print_json(score.to_json())
    else:
        _show_score(score)
    _note_written(reporter, output, score.images)
    return score.bad > 0


def _notes(scoring: Scoring) -> Iterator[str]:
    score = scoring.score
    if scoring.label is None:
        yield "The images have no classes, so nothing is known of how often it is right."
        return
    if score.unknown:
        names = ", ".join(f"{name} ({n:,})" for name, n in score.unknown.most_common(_NAMED))
        more = f" and {len(score.unknown) - _NAMED} more" if len(score.unknown) > _NAMED else ""
        yield (
            f"{score.unknown.total():,} images are of classes that the classifier doesn't know: "
            f"{names}{more}. They aren't counted. It knows {', '.join(score.classes[:_NAMED])}"
            + (", ..." if len(score.classes) > _NAMED else "")
            + ". Classes are matched by name: --label names another column."
        )
    if score.unlabelled:
        yield f"{score.unlabelled:,} images have no label and aren't counted."


def _show_score(score: Score) -> None:
    console = stdout()
    console.print(
        Text(f"{score.source}, split {score.split}: {score.images:,} images", "bold"),
        soft_wrap=True,
    )
    if not score.counted():
        return
    kinds = [kind for kind in ("real", "synthetic") if score.counted(kind)]
    # Apart, but only where there are both.
    shown: list[str | None] = [None, *kinds] if len(kinds) > 1 else [None]
    rows = [
        (
            kind or "all images" if len(kinds) > 1 else f"{kinds[0]} images",
            *_count_and_accuracy(score, kind),
            _share(score.balanced_accuracy(kind)),
        )
        for kind in shown
    ]
    console.print(figures_table("", ["images", "accuracy %", "balanced %"], rows))
    console.print()
    order = [at for at in range(len(score.classes)) if score.counted(position=at)]
    title = "Of each class"
    if len(order) > FOLD_ABOVE and not VERBOSITY.verbose:
        # The worst are what one looks for.
        order = sorted(order, key=lambda at: score.accuracy(position=at) or 0.0)[:FOLD_ABOVE]
        title = f"Of each class (the {FOLD_ABOVE} worst; -v: all)"
    columns = [
        f"{kind or ''} {what}".strip() for kind in shown for what in ("images", "accuracy %")
    ]
    table = [
        (
            score.classes[at],
            *(cell for kind in shown for cell in _count_and_accuracy(score, kind, at)),
        )
        for at in order
    ]
    console.print(figures_table(title, columns, table))


def _count_and_accuracy(score: Score, kind: str | None, at: int | None = None) -> tuple[str, str]:
    return f"{score.counted(kind, at):,}", _share(score.accuracy(kind, at))


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _best(row: NDArray[np.float32], classes: tuple[str, ...]) -> tuple[str, str]:
    at = _order(row)[0]
    return classes[at], f"{float(row[at]):.6f}"


@contextmanager
def _lines_into(
    path: Path | None, header: Sequence[str]
) -> Iterator[Callable[[Sequence[str]], None]]:
    """Writes lines of a CSV file as they come; nothing without a path."""
    if path is None:
        yield lambda cells: None
        return
    with atomic_write(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header)
        yield writer.writerow
        text.flush()
        # The file is the writer's to close.
        text.detach()


def _note_written(reporter: ConsoleReporter, output: Path | None, lines: int) -> None:
    if output is not None:
        reporter.note(f"{lines:,} lines written into {output}.")


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
