"""Long-tailed subsets of balanced sets, as LDAM-DRW makes them. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from synfill.config.dataset import LongTail
from synfill.errors import UsageError
from synfill.records import Factor, LabelTable
from synfill.wording import counted, list_names


def long_tail_counts(available: NDArray[np.int64], tail: LongTail) -> NDArray[np.int64]:
    """How many images the formula wants of each class, whether or not there are as many.

    Class c of C gets int(n_max * (1/IF) ** (c / (C - 1))); or, where the type is step, the first
    half of the classes n_max, the second int(n_max / IF).

    Args:
        available: Images of each class, int64, shape (classes,).
        tail: The imbalance factor IF, n_max (the mean over the classes where it isn't given), and
            the type.

    Returns:
        int64, shape (classes,).
    """
    classes = len(available)
    n_max = tail.largest if tail.largest is not None else int(available.sum() / max(classes, 1))
    if tail.type == "step":
        head = (classes + 1) // 2
        wanted = [n_max] * head + [int(n_max / tail.imbalance_factor)] * (classes - head)
    else:
        # Written as LDAM-DRW writes it: another order of the operations truncates differently.
        share = 1 / tail.imbalance_factor
        wanted = [int(n_max * share ** (c / max(classes - 1, 1))) for c in range(classes)]
    return np.array(wanted, dtype=np.int64)


def keep_long_tail(
    table: LabelTable, tail: LongTail | None, seed: int = 0
) -> tuple[LabelTable, tuple[str, ...]]:
    """The long-tailed subset of a set. Images without a label are not in it.

    A class that has fewer images than the formula wants keeps all it has, and a note says so.

    Args:
        table: The whole set.
        tail: Which subset; None for all of it.
        seed: Which images of a class are kept.

    Returns:
        The rows that are kept, and where they differ from what the formula wants, as sentences.

    Raises:
        UsageError: The images have no classes.
    """
    if tail is None:
        return table, ()
    if table.label is None:
        raise UsageError(
            "A long-tailed set needs classes, and the images have none.",
            "Name the class column with --label.",
        )
    available = table.label.counts()
    wanted = long_tail_counts(available, tail)
    generator = np.random.default_rng(seed)
    by_class = np.argsort(table.label.codes, kind="stable")
    ends = np.cumsum(available) + table.label.missing
    kept = []
    for count, size, end in zip(wanted, available, ends, strict=True):
        positions = by_class[end - size : end]
        generator.shuffle(positions)
        kept.append(positions[:count])
    chosen = np.sort(np.concatenate([*kept, np.empty(0, dtype=np.int64)]))
    return table.take(chosen), _notes(table.label, available, wanted)


def _notes(
    label: Factor, available: NDArray[np.int64], wanted: NDArray[np.int64]
) -> tuple[str, ...]:
    notes = []
    short = np.flatnonzero(available < wanted)
    if len(short):
        names = list_names([f"{label.names[c]} ({available[c]} of {wanted[c]})" for c in short])
        notes.append(f"Too few images for the long tail in {names}: all are kept.")
    empty = int(np.count_nonzero(wanted == 0))
    if empty:
        what = counted(empty, "class", "classes")
        notes.append(f"The long tail leaves {what} without any image.")
    if label.missing:
        missing = counted(label.missing, "image without a label is", "images without a label are")
        notes.append(f"{missing} not in the long tail.")
    return tuple(notes)
