"""`synfill.analyze`: a source -> how unevenly it is filled. Reads no image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synfill.analysis.histogram import Histogram, count_images
from synfill.analysis.pictures import Bar, draw_bars
from synfill.config.arguments import make_settings, takes_settings
from synfill.config.dataset import AnalyzeSettings
from synfill.data.labels import choose_label, choose_split, read_label_tables
from synfill.data.longtail import keep_long_tail
from synfill.data.provenance import existing_provenance, read_synthetic
from synfill.data.source import Origin, open_source
from synfill.records import JsonObject
from synfill.tables import text_table

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Analysis:
    """What `analyze` found.

    Attributes:
        origin: The source.
        label: The class column; None where there is none.
        groups: The group columns.
        splits: One histogram a split, in the order they were asked for.
        other_splits: Splits of the source that were not asked for.
        notes: What a user should know of how the source was read.
    """

    origin: Origin
    label: str | None
    groups: tuple[str, ...]
    splits: tuple[Histogram, ...]
    other_splits: tuple[str, ...]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        first = self.splits[0]
        titles = ["", *(histogram.split for histogram in self.splits)]
        columns = [[(count.name, count.images) for count in h.classes] for h in self.splits]
        parts = [f"{self.origin.location}: {' + '.join(filter(None, (self.label, *self.groups)))}"]
        parts += [_describe(histogram) for histogram in self.splits]
        if first.classes:
            rows = [(same[0][0], *(n for _, n in same)) for same in zip(*columns, strict=True)]
            parts += ["", text_table(titles, rows)]
        return "\n".join(parts)

    def to_pandas(self) -> DataFrame:
        """All counts, one a row: split, level ("class", a group column or "cell"), name, images."""
        from pandas import DataFrame

        rows: list[tuple[str, str, str, int]] = []
        for histogram in self.splits:
            for level in histogram.levels():
                name = level.column if level.kind == "group" else level.kind
                rows += [(histogram.split, name, one.name, one.images) for one in level.counts]
        return DataFrame(rows, columns=["split", "level", "name", "images"])

    def to_json(self) -> JsonObject:
        """All of it as one JSON object."""
        return {
            "source": self.origin.location,
            "name": self.origin.name,
            "revision": self.origin.revision or None,
            "label": self.label,
            "groups": list(self.groups),
            "splits": {histogram.split: histogram.to_json() for histogram in self.splits},
            "other_splits": list(self.other_splits),
            "notes": list(self.notes),
        }


def _describe(histogram: Histogram) -> str:
    """A split in one line."""
    figures = histogram.figures
    text = f"{histogram.split}: {figures.images:,} images"
    if figures.classes:
        span = f"{figures.smallest:,} to {figures.largest:,}"
        if figures.smallest == figures.largest:
            span = f"{figures.largest:,} each"
        text += f", {figures.classes:,} classes of {span}"
    if figures.imbalance_factor is not None:
        text += f", imbalance factor {figures.imbalance_factor:.4g}"
    for group in histogram.groups:
        if group.cramers_v is not None:
            text += f", Cramér's V with {group.column} {group.cramers_v:.3g}"
    return text


@takes_settings(AnalyzeSettings)
def analyze(source: str | Path = ".", **options: Any) -> Analysis:
    """Count how a dataset's classes, groups and cells are filled, without reading an image.

    Args:
        source: A folder, a Parquet file, a table of image files and labels, a saved dataset, a
            Hub id (owner/name), or "demo".
        **options

    Raises:
        UsageError: The source, a split or a column doesn't exist, or an argument is wrong.
        RunError: The source can't be read.
    """
    return count_dataset(make_analysis_settings({"source": source, **options}, "The call"))


def make_analysis_settings(values: JsonObject, where: str) -> AnalyzeSettings:
    """Check settings as a whole; see `synfill.config.arguments.make_settings`."""
    hint = "synfill analyze --help lists all options."
    return make_settings(AnalyzeSettings, values, where, hint)


def count_dataset(settings: AnalyzeSettings) -> Analysis:
    """`analyze` with checked settings."""
    opened = open_source(
        settings.source,
        config=settings.config,
        image=settings.image,
        folder=settings.folder_options,
    )
    groups = settings.group
    asked = opened.splits if "all" in settings.split else settings.split or (None,)
    splits = tuple(dict.fromkeys(choose_split(opened, name) for name in asked))
    column = choose_label(opened, settings.label, groups)
    notes = list(opened.notes)
    histograms = []
    provenance = existing_provenance(opened.columns)
    for index, table in enumerate(read_label_tables(opened, splits, column, groups).values()):
        table, found = keep_long_tail(table, settings.tail if index == 0 else None, settings.seed)
        notes.extend(found)
        made = None
        if provenance is not None:
            made = read_synthetic(opened, table.split, provenance)[table.rows]
        histograms.append(count_images(table, made))
    return Analysis(
        origin=opened.origin,
        label=column,
        groups=groups,
        splits=tuple(histograms),
        other_splits=tuple(name for name in opened.splits if name not in splits),
        notes=tuple(notes),
    )


def draw_analysis(analysis: Analysis, file_format: str) -> bytes:
    """Draw an analysis: classes, then groups, then cells of each split.

    Args:
        analysis: What was found.
        file_format: "png" or "svg".
    """
    panels = []
    for histogram in analysis.splits:
        where = f"{analysis.origin.name}, {histogram.split}"
        if histogram.label is None:
            panels.append((where, [_bar("images", histogram.figures.images, histogram.synthetic)]))
            continue
        for level in histogram.levels():
            name = "cell" if level.kind == "cell" else level.column
            bars = [_bar(one.name, one.images, one.synthetic) for one in level.counts]
            panels.append((f"{where}: images per {name}", bars))
    return draw_bars(panels, file_format)


def _bar(name: str, images: int, synthetic: int | None) -> Bar:
    return Bar(name, images - (synthetic or 0), synthetic or 0)
