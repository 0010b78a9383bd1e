"""`synfill.analyze`: a source -> how unevenly it is filled. Reads no image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from synfill.analysis.histogram import Histogram, count_images
from synfill.analysis.pictures import Bar, draw_bars
from synfill.balancing.target import LARGEST, MAX_SEED
from synfill.config.arguments import checks_names
from synfill.config.problems import shown
from synfill.data.labels import choose_label, choose_split, read_label_tables
from synfill.data.longtail import keep_long_tail
from synfill.data.provenance import existing_provenance, read_synthetic
from synfill.data.source import Origin, open_source
from synfill.errors import UsageError
from synfill.records import FolderOptions, JsonObject, LabelTable, Shape
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
            split = histogram.split
            rows += [(split, "class", count.name, count.images) for count in histogram.classes]
            for group in histogram.groups:
                rows += [(split, group.column, each.name, each.images) for each in group.counts]
            rows += [(split, "cell", str(cell), images) for cell, images in histogram.cells]
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
    told = f"{histogram.split}: {figures.images:,} images"
    if figures.classes:
        span = f"{figures.smallest:,} to {figures.largest:,}"
        if figures.smallest == figures.largest:
            span = f"{figures.largest:,} each"
        told += f", {figures.classes:,} classes of {span}"
    if figures.imbalance_factor is not None:
        told += f", imbalance factor {figures.imbalance_factor:.4g}"
    for group in histogram.groups:
        if group.cramers_v is not None:
            told += f", Cramér's V with {group.column} {group.cramers_v:.3g}"
    return told


@dataclass(frozen=True, eq=False)
class TailSettings:
    """The long-tailed subset that is wanted.

    Attributes:
        imbalance_factor: Largest class / smallest class.
        shape: "exp" or "step".
        largest: Images of the largest class; None for images / classes.
        seed: Of the choice of images.
    """

    imbalance_factor: float
    shape: Shape = "exp"
    largest: int | None = None
    seed: int = 0


def cut_tail(
    table: LabelTable, long_tail: TailSettings | None
) -> tuple[LabelTable, tuple[str, ...]]:
    """The table's long-tailed subset, or all of it if none is wanted; and notes on it."""
    if long_tail is None:
        return table, ()
    found = keep_long_tail(
        table, long_tail.imbalance_factor, long_tail.shape, long_tail.largest, long_tail.seed
    )
    return found.table, found.notes


@checks_names
def analyze(
    source: str | Path = ".",
    *,
    split: str | Sequence[str] | None = None,
    label: str | None = None,
    group: str | Sequence[str] = (),
    config: str | None = None,
    image: str | None = None,
    layout: str | None = None,
    image_root: str | Path | None = None,
    file_column: str | None = None,
    long_tail: float | None = None,
    long_tail_type: Shape = "exp",
    long_tail_max: int | None = None,
    seed: int = 0,
) -> Analysis:
    """Count how a dataset's classes, groups and cells are filled, without reading an image.

    Args:
        source: A folder, a Parquet file, a table of image files and labels, a saved dataset, a
            Hub id (owner/name), or "demo".
        split: A split, several, or "all"; by default train, or the only one.
        label: The class column; found by itself where only one column can be it.
        group: Group columns.
        config: The dataset's configuration, where it has several.
        image: The image column, where there are several.
        layout: What each level of folders below the source names: "class", "split", "*" for
            neither, or the name of the one folder that is meant, with "/" between.
        image_root: The folder that the file names in a table of labels start from.
        file_column: The column of a table of labels that names the image files.
        long_tail: Count a long-tailed subset of this imbalance factor (of the first split).
        long_tail_type: "exp" or "step".
        long_tail_max: Images of that subset's largest class.
        seed: Chooses the subset's images.

    Raises:
        UsageError: The source, a split or a column doesn't exist.
        RunError: The source can't be read.
    """
    if not 0 <= seed <= MAX_SEED:
        raise UsageError(f"A seed is a whole number from 0 to {MAX_SEED}, not {shown(seed)}.")
    if long_tail_max is not None and not 1 <= long_tail_max <= LARGEST:
        raise UsageError(
            f"The largest class of a long tail has from 1 to {LARGEST:,} images, not "
            f"{shown(long_tail_max)}."
        )
    folder = FolderOptions(layout, None if image_root is None else str(image_root), file_column)
    opened = open_source(str(source), config=config, image=image, folder=folder)
    groups = (group,) if isinstance(group, str) else tuple(group)
    asked = (split,) if isinstance(split, str) or split is None else tuple(split)
    if "all" in asked:
        asked = opened.splits
    splits = tuple(dict.fromkeys(choose_split(opened, name) for name in asked))
    column = choose_label(opened, label, groups)
    if long_tail_type not in get_args(Shape):
        raise UsageError(f"The long tail's type is exp or step, not '{long_tail_type}'.")
    if long_tail is None and (long_tail_max is not None or long_tail_type != "exp"):
        raise UsageError("--long-tail-max and --long-tail-type need --long-tail.")
    tail = None
    if long_tail is not None:
        tail = TailSettings(long_tail, long_tail_type, long_tail_max, seed)
    notes = list(opened.notes)
    histograms = []
    provenance = existing_provenance(opened.columns)
    for index, table in enumerate(read_label_tables(opened, splits, column, groups).values()):
        table, found = cut_tail(table, tail if index == 0 else None)
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
        bars = [_bar(count.name, count.images, count.synthetic) for count in histogram.classes]
        panels.append((f"{where}: images per {histogram.label}", bars))
        for group in histogram.groups:
            bars = [_bar(count.name, count.images, count.synthetic) for count in group.counts]
            panels.append((f"{where}: images per {group.column}", bars))
        if histogram.cells:
            made = histogram.synthetic_cells or (0,) * len(histogram.cells)
            counted = zip(histogram.cells, made, strict=True)
            bars = [_bar(str(cell), images, of_models) for (cell, images), of_models in counted]
            panels.append((f"{where}: images per cell", bars))
    return draw_bars(panels, file_format)


def _bar(name: str, images: int, synthetic: int | None) -> Bar:
    return Bar(name, images - (synthetic or 0), synthetic or 0)
