"""`synfill analyze`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synfill.cli.meanings import meaning
from synfill.cli.options import OptionsOf
from synfill.cli.output import (
    VERBOSITY,
    ConsoleReporter,
    Row,
    counts_table,
    figures_table,
    print_json,
    stdout,
)
from synfill.config.dataset import AnalyzeSettings
from synfill.errors import UsageError
from synfill.records import JsonObject

if TYPE_CHECKING:
    from synfill.analysis.histogram import Count, Figures, Histogram
    from synfill.analysis.run import Analysis


def analyze(
    *,
    given: Annotated[JsonObject, OptionsOf(AnalyzeSettings)],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object with everything, nothing else.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(help="Draw it into a file.", metavar="FILE.png|svg")
    ] = None,
) -> None:
    """Show how unevenly a dataset's classes, groups and cells are filled.

    Reads labels only, no image.

    Example: [bold]synfill analyze photos --group gender --split all[/bold]
    """
    from synfill.analysis.run import count_dataset, make_analysis_settings

    if plot is not None:
        _check_plot(plot)
    analysis = count_dataset(make_analysis_settings(given, "The command line"))
    if as_json:
        print_json(analysis.to_json())
    else:
        show(analysis)
    if plot is not None:
        from synfill.analysis.run import draw_analysis
        from synfill.files import atomic_write

        with atomic_write(plot) as file:
            file.write(draw_analysis(analysis, plot.suffix.lower()[1:]))
        ConsoleReporter().note(f"Drawn into {plot}.")


def _check_plot(plot: Path) -> None:
    """Refuse a place that no picture can be written to, before any work."""
    if plot.suffix.lower() not in (".png", ".svg"):
        raise UsageError(f"--plot writes .png or .svg, not '{plot.name}'.")
    if os.path.exists(plot) and not os.path.isfile(plot):
        kind = "a folder" if os.path.isdir(plot) else "no ordinary file"
        raise UsageError(f"--plot names a file to write, and {plot} is {kind}.")
    folder = plot.absolute().parent
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    if not (os.path.isdir(folder) and os.access(folder, os.W_OK)):
        raise UsageError(f"Nothing can be written to {folder}, where --plot {plot} is to be.")


def show(analysis: Analysis) -> None:
    """Print an analysis as tables."""
    console, reporter = stdout(), ConsoleReporter()
    for note in analysis.notes:
        reporter.note(note)
    first = analysis.splits[0]
    console.print(_figures(analysis))
    for title, rows in _sections(analysis):
        if rows:
            console.print()
            console.print(counts_table(title, _columns(analysis), rows, VERBOSITY.verbose))
    if first.label is None:
        reporter.note(
            "The images have no classes: nothing to balance here. Put them in one folder a "
            "class, put a table of their files and labels (labels.csv) beside them, or name the "
            "class column with --label."
        )
    if analysis.other_splits:
        reporter.note(f"Other splits: {', '.join(analysis.other_splits)} (--split all shows all).")


def _columns(analysis: Analysis) -> list[str]:
    """The columns of the tables: where models made images of a split, they stand apart."""
    columns = []
    for histogram in analysis.splits:
        columns.append(histogram.split)
        if histogram.synthetic:
            columns += ["real", "synthetic"]
    return columns


def _row(counts: Iterable[tuple[Histogram, Count]]) -> Row:
    """A row under `_columns`, of each split's count of the same class, value or cell."""
    name, shown = "", []
    for histogram, one in counts:
        name = one.name
        shown.append(one.images)
        if histogram.synthetic:
            shown += [one.images - one.synthetic, one.synthetic]
    return Row(name, shown)


def _sections(analysis: Analysis) -> list[tuple[str, list[Row]]]:
    """A title and the rows of each level: classes, groups, cells."""
    histograms = analysis.splits
    return [
        (
            f"Images per {same[0].kind} ({same[0].column})",
            [
                _row(zip(histograms, counts, strict=True))
                for counts in zip(*(level.counts for level in same), strict=True)
            ],
        )
        for same in zip(*(histogram.levels() for histogram in histograms), strict=True)
    ]


def _figures(analysis: Analysis) -> object:
    histograms = analysis.splits
    names: list[str] = []
    columns = [dict(figure_rows(histogram)) for histogram in histograms]
    for column in columns:
        names.extend(name for name in column if name not in names)
    rows = [(name, *(column.get(name, "") for column in columns)) for name in names]
    splits = [histogram.split for histogram in histograms]
    meanings = [meaning(name) for name in names] if VERBOSITY.verbose else ()
    return figures_table(analysis.origin.location, splits, rows, meanings)


def figure_rows(histogram: Histogram) -> list[tuple[str, str]]:
    """The figures of a split as they are shown: names and values."""
    figures = histogram.figures
    rows = [("images", f"{figures.images:,}")]
    if histogram.synthetic is not None:
        rows.append(("    made by models", f"{histogram.synthetic:,}"))
    if figures.missing_labels:
        rows.append(("without a class", f"{figures.missing_labels:,}"))
    if figures.classes:
        rows.append(("classes", f"{figures.classes:,}"))
        if figures.empty_classes:
            rows.append(("empty classes", f"{figures.empty_classes:,}"))
        rows += [
            ("largest class", f"{figures.largest:,}"),
            ("smallest class", f"{figures.smallest:,}"),
            ("imbalance factor", _factor(figures)),
        ]
        if histogram.real_figures is not None:
            rows.append(("    real images alone", _factor(histogram.real_figures)))
        rows += [
            ("Gini", _number(figures.gini)),
            ("normalized entropy", _number(figures.normalized_entropy)),
            ("effective classes", _number(figures.effective_classes, 4)),
            ("many / medium / few", f"{figures.many} / {figures.medium} / {figures.few}"),
        ]
    for group in histogram.groups:
        rows.append((f"Cramér's V with {group.column}", _number(group.cramers_v)))
        if group.missing:
            rows.append((f"without {group.column}", f"{group.missing:,}"))
    if histogram.smallest_cell is not None:
        cell = histogram.smallest_cell
        rows.append(("smallest cell", f"{cell.images:,} ({cell.name})"))
    return rows


def _factor(figures: Figures) -> str:
    factor, nonempty = figures.imbalance_factor, figures.imbalance_factor_nonempty
    if factor is not None:
        return f"{factor:.4g}"
    return f"∞ ({nonempty:.4g} non-empty)" if nonempty else "-"


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}g}"
