"""Counts and a target -> what is missing, and which real images stay. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from synfill.analysis.histogram import cell_codes, count_cells
from synfill.balancing.target import MOST_IMAGES, Target, wanted_counts
from synfill.errors import UsageError
from synfill.records import MISSING, Cell, Factor, LabelTable


@dataclass(frozen=True)
class Rules:
    """What changes a deficit besides the target.

    Attributes:
        cap: Real images of a cell at most; None for no cap.
        limit: Images to make at most; None for no limit.
        observed_only: Whether cells that never occur stay empty.
        replaced: The share of every class's real images that gives way to synthetic ones.
        replaced_classes: The share of single classes, in place of `replaced`.
        seed: Of the choice of the images that stay.
    """

    cap: int | None = None
    limit: int | None = None
    observed_only: bool = False
    replaced: Fraction = Fraction(0)
    replaced_classes: Mapping[str, Fraction] = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Deficit:
    """What is missing, cell by cell.

    Attributes:
        cells: The cells, or classes.
        before: Real images of each before anything was taken away, int64, shape (cells,).
        kept: Real images of each that stay, int64, shape (cells,).
        earlier: Images of each that earlier runs made, which stay; int64, shape (cells,).
        wanted: Images that each should have in the end, int64, shape (cells,).
        to_make: wanted - kept - earlier, or less under a limit; int64, shape (cells,).
    """

    cells: tuple[Cell, ...]
    before: NDArray[np.int64]
    kept: NDArray[np.int64]
    earlier: NDArray[np.int64]
    wanted: NDArray[np.int64]
    to_make: NDArray[np.int64]

    @property
    def total(self) -> int:
        """All images to make."""
        return int(self.to_make.sum())


def find_deficit(
    table: LabelTable,
    groups: Sequence[Factor],
    synthetic_rows: NDArray[np.bool_],
    target: Target,
    rules: Rules,
) -> tuple[Deficit, NDArray[np.int64]]:
    """What is missing, and the rows that stay.

    Args:
        table: The labels of the split.
        groups: The group columns that cells are made of; empty for classes.
        synthetic_rows: Of each image of the table whether an earlier run made it; bool, shape
            (images,). Only real images are capped or replaced.
        target: How full each cell is wanted.
        rules: What else was asked for.

    Returns:
        The deficit, and the rows that stay: int64, ascending.

    Raises:
        UsageError: There would be more than ten million images to make.
    """
    assert table.label is not None
    codes = codes_of(table, groups)
    cells, _ = count_cells(table.label, groups)
    made = synthetic_rows
    present, synthetic = (
        np.bincount(codes[mask & (codes != MISSING)], minlength=len(cells)).astype(np.int64)
        for mask in (~made, made)
    )
    capped = np.minimum(present, rules.cap) if rules.cap else present
    wanted = wanted_counts(target, cells, capped + synthetic)
    if rules.observed_only:
        wanted = np.where(present + synthetic > 0, wanted, 0)
    shares = [rules.replaced_classes.get(cell.label, rules.replaced) for cell in cells]
    # Halves are rounded up: a share of a half of one image replaces it.
    replaced = np.array(
        [int(share * int(n) + Fraction(1, 2)) for share, n in zip(shares, capped, strict=True)],
        dtype=np.int64,
    )
    kept = capped - replaced
    stays = undersample(np.where(made, MISSING, codes), kept, rules.seed)
    to_make = wanted - kept - synthetic
    if rules.limit is not None:
        # No cell can get more; and the order below takes room for every image.
        to_make = np.minimum(to_make, rules.limit)
    _check_total(to_make, rules.limit)
    if rules.limit is not None:
        order = emptiest_first(kept + synthetic, to_make, rules.limit)
        to_make = np.bincount(order, minlength=len(cells)).astype(np.int64)
    return Deficit(cells, present, kept, synthetic, wanted, to_make), table.rows[stays]


def _check_total(to_make: NDArray[np.int64], limit: int | None) -> None:
    total = sum(to_make.tolist())  # exact, however large
    # Of those that a limit chooses from there may be more.
    if total > MOST_IMAGES * (1 if limit is None or limit > MOST_IMAGES else 10):
        raise UsageError(
            f"The target asks for {total:,} images, which is more than a run can hold "
            f"({MOST_IMAGES:,}).",
            "Choose a smaller --target, or make them in parts, each with a smaller --limit.",
        )


def undersample(codes: NDArray[np.int64], keep: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    """Choose at random which images of each cell stay.

    Args:
        codes: The cell of each image, MISSING for none; int64, shape (images,).
        keep: Images to keep of each cell, int64, shape (cells,).
        seed: Of the one generator; cells are taken in order.

    Returns:
        Whether each image stays, shape (images,). Images without a cell always stay.
    """
    stays = np.ones(len(codes), dtype=bool)
    generator = np.random.default_rng(seed)
    counts = np.bincount(codes[codes != MISSING], minlength=len(keep))
    for cell in np.flatnonzero(keep < counts):
        positions = np.flatnonzero(codes == cell)
        stays[generator.permutation(positions)[keep[cell] :]] = False
    return stays


def codes_of(table: LabelTable, groups: Sequence[Factor]) -> NDArray[np.int64]:
    """The cell of each image of a labelled table, numbered as `count_cells` numbers them."""
    assert table.label is not None
    return cell_codes([table.label, *groups])[0]


def emptiest_first(
    kept: NDArray[np.int64], deficit: NDArray[np.int64], limit: int | None
) -> NDArray[np.int64]:
    """The order in which cells are filled: each image goes to the cell that is emptiest then.

    So every beginning of the plan, an interrupted run's too, is the most even one of its length.

    Args:
        kept: Images of each cell at the start, int64, shape (cells,).
        deficit: Images to make of each, int64, shape (cells,).
        limit: Images in all at most; None for no limit.

    Returns:
        The cell of each image to make, int64, shape (min(limit, deficit.sum()),).
    """
    cells = np.repeat(np.arange(len(kept)), deficit)
    starts = np.repeat(np.cumsum(deficit) - deficit, deficit)
    level = kept[cells] + (np.arange(len(cells)) - starts)
    order = np.lexsort((cells, level))
    return cells[order][:limit].astype(np.int64)
