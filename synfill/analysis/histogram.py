"""Counts per class, per group and per cell, and the figures computed from them. Pure.

Takes label tables, gives numbers; knows neither files nor images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from synfill.errors import UsageError
from synfill.records import MISSING, Cell, Factor, JsonObject, LabelTable

MANY_ABOVE = 100
FEW_BELOW = 20
"""Many > 100, medium 20 to 100, few < 20 images (Liu et al., Large-Scale Long-Tailed Recognition
in an Open World, CVPR 2019)."""

MOST_CELLS = 10_000_000


@dataclass(frozen=True)
class Count:
    """How many images one class, group value or cell has, and how many of them models made."""

    name: str
    images: int
    synthetic: int = 0


@dataclass(frozen=True, kw_only=True)
class CellCount(Count):
    """The same of a cell, which it names."""

    cell: Cell

    def to_json(self, images: int) -> JsonObject:
        """The cell and a number of images."""
        return {"class": self.cell.label, "groups": dict(self.cell.groups), "images": images}


@dataclass(frozen=True)
class Level:
    """What is counted at one level: classes, the values of a group, or cells.

    Attributes:
        kind: "class", "group" or "cell".
        column: The class or group column; "class / group" for cells.
        counts: One a class, value or cell.
    """

    kind: str
    column: str
    counts: Sequence[Count]


@dataclass(frozen=True)
class Figures:
    """How uneven the classes of one split are.

    Attributes:
        images: All images, with and without a class.
        missing_labels: Images without a class (null or -1).
        classes: Classes, empty ones included.
        empty_classes: Classes that are named but have no image.
        largest: Images of the largest class.
        smallest: Images of the smallest class.
        imbalance_factor: largest / smallest (Cui et al., CVPR 2019); None if a class is empty.
        imbalance_factor_nonempty: The same over the classes that have images; None without any.
        gini: Gini coefficient of the class counts, 0 (even) to 1.
        normalized_entropy: Entropy of the class shares / log(classes), 0 to 1 (even).
        effective_classes: exp(entropy): as many equally large classes are as diverse (Hill number
            of order 1).
        many, medium, few: Classes with more than 100, with 20 to 100, with fewer than 20 images.
    """

    images: int
    missing_labels: int
    classes: int
    empty_classes: int
    largest: int
    smallest: int
    imbalance_factor: float | None
    imbalance_factor_nonempty: float | None
    gini: float | None
    normalized_entropy: float | None
    effective_classes: float | None
    many: int
    medium: int
    few: int


@dataclass(frozen=True)
class GroupHistogram:
    """One group column: its counts, and how strongly it goes with the class.

    Attributes:
        column: The column.
        counts: Images a value, in the column's order.
        missing: Images without a value.
        cramers_v: Cramer's V of class and group, 0 (independent) to 1 (one determines the other);
            None where it isn't defined (a single class or value).
    """

    column: str
    counts: tuple[Count, ...]
    missing: int
    cramers_v: float | None


@dataclass(frozen=True)
class Histogram:
    """Everything `analyze` says of one split.

    Attributes:
        split: The split.
        label: The class column; None where the images have no classes.
        figures: The figures.
        classes: Images a class, in the dataset's class order.
        groups: One entry a group column.
        cells: Images a cell (class within every group), all combinations; empty without groups.
        smallest_cell: The first of the emptiest cells.
        no_cell: Images whose class or group is missing, which therefore are in no cell.
        synthetic: How many of all images models made; None where the dataset doesn't say.
        real_figures: The figures of the real images alone; None where all may be real.
    """

    split: str
    label: str | None
    figures: Figures
    classes: tuple[Count, ...]
    groups: tuple[GroupHistogram, ...]
    cells: tuple[CellCount, ...]
    smallest_cell: CellCount | None
    no_cell: int
    synthetic: int | None = None
    real_figures: Figures | None = None

    def levels(self) -> list[Level]:
        """All that is counted: classes, the values of each group, cells."""
        return [
            *([Level("class", self.label, self.classes)] if self.label is not None else []),
            *(Level("group", group.column, group.counts) for group in self.groups),
            *([Level("cell", "class / group", self.cells)] if self.cells else []),
        ]

    def to_json(self) -> JsonObject:
        """As one JSON object; keys as in the attributes."""
        smallest = self.smallest_cell
        found = {
            "split": self.split,
            "label": self.label,
            **asdict(self.figures),
            "class_counts": {count.name: count.images for count in self.classes},
            "groups": {
                group.column: {
                    "counts": {count.name: count.images for count in group.counts},
                    "missing": group.missing,
                    "cramers_v": group.cramers_v,
                }
                for group in self.groups
            },
            "cells": [cell.to_json(cell.images) for cell in self.cells],
            "smallest_cell": smallest.to_json(smallest.images) if smallest else None,
            "images_without_cell": self.no_cell,
            "synthetic": None,
        }
        if self.synthetic is not None:
            found["synthetic"] = {
                "images": self.synthetic,
                "class_counts": {count.name: count.synthetic for count in self.classes},
                "groups": {
                    group.column: {count.name: count.synthetic for count in group.counts}
                    for group in self.groups
                },
                "cells": [cell.to_json(cell.synthetic) for cell in self.cells],
            }
            found["real_figures"] = asdict(self.real_figures) if self.real_figures else None
        return found


def compute_figures(counts: NDArray[np.int64], missing_labels: int) -> Figures:
    """The figures of one split.

    Args:
        counts: Images a class, int64, shape (classes,).
        missing_labels: Images without a class.
    """
    filled = counts[counts > 0]
    largest = int(counts.max(initial=0))
    smallest = int(counts.min()) if len(counts) else 0
    entropy = gini = None
    if len(filled):
        shares = filled / filled.sum()
        entropy = float(-(shares * np.log(shares)).sum())
        ranks = np.arange(1, len(counts) + 1)
        ordered = np.sort(counts)
        gini = float(
            2 * (ranks * ordered).sum() / (len(counts) * ordered.sum())
            - (len(counts) + 1) / len(counts)
        )
    return Figures(
        images=int(counts.sum()) + missing_labels,
        missing_labels=missing_labels,
        classes=len(counts),
        empty_classes=len(counts) - len(filled),
        largest=largest,
        smallest=smallest,
        imbalance_factor=largest / smallest if smallest else None,
        imbalance_factor_nonempty=largest / int(filled.min()) if len(filled) else None,
        gini=gini,
        normalized_entropy=(
            min(1.0, max(0.0, entropy) / math.log(len(counts)))
            if entropy is not None and len(counts) > 1
            else None
        ),
        effective_classes=math.exp(entropy) if entropy is not None else None,
        many=int((counts > MANY_ABOVE).sum()),
        medium=int(((counts >= FEW_BELOW) & (counts <= MANY_ABOVE)).sum()),
        few=int((counts < FEW_BELOW).sum()),
    )


def cramers_v(table: NDArray[np.int64]) -> float | None:
    """Cramer's V of a contingency table, without bias correction (Cramer 1946).

    Args:
        table: Images for each (class, group value), int64, shape (classes, values).

    Returns:
        0 to 1; None with fewer than two non-empty rows or columns.
    """
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    if min(table.shape) < 2:
        return None
    total = table.sum()
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / total
    chi_squared = float(((table - expected) ** 2 / expected).sum())
    return math.sqrt(chi_squared / (float(total) * (min(table.shape) - 1)))


def cell_codes(factors: Sequence[Factor]) -> tuple[NDArray[np.int64], tuple[int, ...]]:
    """Number the combinations of some columns' values.

    Returns:
        The cell of each image, int64, shape (images,), MISSING where any value is missing, in
        row-major order of the values; and the number of values of each column.

    Raises:
        UsageError: There would be more than ten million cells.
    """
    shape = tuple(len(factor.values) for factor in factors)
    if math.prod(shape) > MOST_CELLS:
        raise UsageError(
            f"{' x '.join(str(n) for n in shape)} values of "
            f"{', '.join(factor.name for factor in factors)} make too many cells.",
            "Use fewer group columns, or columns with fewer values.",
        )
    codes = np.zeros(len(factors[0].codes), dtype=np.int64)
    missing = np.zeros(len(codes), dtype=bool)
    for factor in factors:
        codes = codes * len(factor.values) + factor.codes
        missing |= factor.codes == MISSING
    codes[missing] = MISSING
    return codes, shape


def count_cells(
    label: Factor, groups: Sequence[Factor]
) -> tuple[tuple[Cell, ...], NDArray[np.int64]]:
    """All cells in class order, and the images of each: int64, shape (cells,)."""
    codes, shape = cell_codes([label, *groups])
    counts = np.bincount(codes[codes != MISSING], minlength=math.prod(shape)).astype(np.int64)
    names = [label.names, *(group.names for group in groups)]
    columns = [group.name for group in groups]
    cells = tuple(
        Cell(
            names[0][index[0]],
            tuple((columns[k], names[k + 1][i]) for k, i in enumerate(index[1:])),
        )
        for index in np.ndindex(shape)
    )
    return cells, counts


def count_images(table: LabelTable, made: NDArray[np.bool_] | None = None) -> Histogram:
    """Count one split.

    Args:
        table: Its labels.
        made: Of each image of the table whether a model made it, shape (images,); None where
            the dataset doesn't say.
    """
    label, groups = table.label, table.groups
    by_models = table.take(np.flatnonzero(made)) if made is not None else None
    cells: tuple[CellCount, ...] = ()
    if label is not None and groups:
        names, images = count_cells(label, groups)
        of_models = np.zeros_like(images)
        if by_models is not None and by_models.label is not None:
            of_models = count_cells(by_models.label, by_models.groups)[1]
        cells = tuple(
            CellCount(str(cell), count, synthetic, cell=cell)
            for cell, count, synthetic in zip(
                names, images.tolist(), of_models.tolist(), strict=True
            )
        )
    real = table.take(np.flatnonzero(~made)) if made is not None and made.any() else None
    groups_made = by_models.groups if by_models is not None else (None,) * len(groups)
    return Histogram(
        split=table.split,
        label=label.name if label is not None else None,
        figures=_figures(table),
        classes=_named(label, by_models.label if by_models else None) if label is not None else (),
        groups=tuple(
            _count_group(group, of_group, label)
            for group, of_group in zip(groups, groups_made, strict=True)
        ),
        cells=cells,
        smallest_cell=min(cells, key=lambda cell: cell.images) if cells else None,
        no_cell=len(table) - sum(cell.images for cell in cells) if cells else 0,
        synthetic=len(by_models) if by_models is not None else None,
        real_figures=_figures(real) if real is not None else None,
    )


def _figures(table: LabelTable) -> Figures:
    if table.label is None:
        return compute_figures(np.zeros(0, dtype=np.int64), len(table))
    return compute_figures(table.label.counts(), table.label.missing)


def _named(factor: Factor, made: Factor | None) -> tuple[Count, ...]:
    synthetic = made.counts().tolist() if made is not None else [0] * len(factor.values)
    counted = zip(factor.names, factor.counts().tolist(), synthetic, strict=True)
    return tuple(Count(name, images, of_models) for name, images, of_models in counted)


def _count_group(group: Factor, made: Factor | None, label: Factor | None) -> GroupHistogram:
    association = None
    if label is not None and label.values and group.values:
        _, images = count_cells(label, [group])
        association = cramers_v(images.reshape(len(label.values), len(group.values)))
    return GroupHistogram(group.name, _named(group, made), group.missing, association)
