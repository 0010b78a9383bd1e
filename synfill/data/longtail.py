"""Long-tailed subsets of balanced sets, as LDAM-DRW makes them. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synfill.errors import UsageError
from synfill.records import LabelTable, Shape
from synfill.wording import counted


@dataclass(frozen=True, eq=False)
class LongTail:
    """A long-tailed subset.

    Attributes:
        table: The rows that are kept.
        notes: Where it differs from what the formula wants, as sentences.
    """

    table: LabelTable
    notes: tuple[str, ...]


def long_tail_counts(
    available: NDArray[np.int64],
    imbalance_factor: float,
    shape: Shape = "exp",
    largest: int | None = None,
) -> NDArray[np.int64]:
    """How many images the formula wants of each class, whether or not there are as many.

    Args:
        available: Images of each class, int64, shape (classes,).
        imbalance_factor: The largest class over the smallest, at least 1.
        shape: "exp": class c of C gets int(n_max * (1/IF) ** (c / (C - 1))); "step": the first
            half of the classes gets n_max, the second int(n_max / IF).
        largest: n_max; None for the mean over the classes, int(images / classes).

    Returns:
        int64, shape (classes,).

    Raises:
        UsageError: The imbalance factor or the largest class is below 1.
    """
    if not 1 <= imbalance_factor < float("inf"):
        raise UsageError(
            f"An imbalance factor of {imbalance_factor:g} is impossible: it is the largest class "
            "over the smallest.",
            "Give 1 or more, e.g. --long-tail 100.",
        )
    if largest is not None and largest < 1:
        raise UsageError(
            f"The largest class can't have {largest} images.", "Give --long-tail-max 1 or more."
        )
    classes = len(available)
    n_max = largest if largest is not None else int(available.sum() / max(classes, 1))
    if shape == "step":
        head = (classes + 1) // 2
        wanted = [n_max] * head + [int(n_max / imbalance_factor)] * (classes - head)
    else:
        # Written as LDAM-DRW writes it: another order of the operations truncates differently.
        share = 1 / imbalance_factor
        wanted = [int(n_max * share ** (c / max(classes - 1, 1))) for c in range(classes)]
    return np.array(wanted, dtype=np.int64)


def keep_long_tail(
    table: LabelTable,
    imbalance_factor: float,
    shape: Shape = "exp",
    largest: int | None = None,
    seed: int = 0,
) -> LongTail:
    """The long-tailed subset of a set. Images without a label are not in it.

    A class that has fewer images than the formula wants keeps all it has, and a note says so.

    Args:
        table: The whole set.
        imbalance_factor: The largest class over the smallest, at least 1.
        shape: How classes thin out; see `long_tail_counts`.
        largest: Images of the largest class; None for the mean over the classes.
        seed: Which images of a class are kept.

    Raises:
        UsageError: The images have no classes, or a number is impossible.
    """
    if table.label is None:
        raise UsageError(
            "A long-tailed set needs classes, and the images have none.",
            "Name the class column with --label.",
        )
    available = table.label.counts()
    wanted = long_tail_counts(available, imbalance_factor, shape, largest)
    generator = np.random.default_rng(seed)
    by_class = np.argsort(table.label.codes, kind="stable")
    ends = np.cumsum(available) + table.label.missing
    kept = []
    for count, size, end in zip(wanted, available, ends, strict=True):
        positions = by_class[end - size : end]
        generator.shuffle(positions)
        kept.append(positions[:count])
    chosen = np.sort(np.concatenate([*kept, np.empty(0, dtype=np.int64)]))
    return LongTail(table.take(chosen), _notes(table.label.names, available, wanted, table))


def _notes(
    names: tuple[str, ...],
    available: NDArray[np.int64],
    wanted: NDArray[np.int64],
    table: LabelTable,
) -> tuple[str, ...]:
    notes = []
    short = np.flatnonzero(available < wanted)
    if len(short):
        listed = ", ".join(f"{names[c]} ({available[c]} of {wanted[c]})" for c in short[:5])
        more = f" and {len(short) - 5} more" if len(short) > 5 else ""
        notes.append(f"Too few images for the long tail in {listed}{more}: all are kept.")
    empty = int(np.count_nonzero(wanted == 0))
    if empty:
        what = counted(empty, "class", "classes")
        notes.append(f"The long tail leaves {what} without any image.")
    if table.label is not None and table.label.missing:
        missing = counted(
            table.label.missing, "image without a label is", "images without a label are"
        )
        notes.append(f"{missing} not in the long tail.")
    return tuple(notes)
