"""Probabilities of one trained classifier on one set of images -> every figure that is reported.

Takes arrays and gives numbers, as fractions from 0 to 1; knows neither torch nor files. What an
average over seeds is stands in `results`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from synfill.errors import RunError
from synfill.records import JsonObject

MANY_ABOVE = 100
FEW_BELOW = 20
"""Many, medium, few: more than 100, 20 to 100, fewer than 20 real training images (Liu et al.,
Large-Scale Long-Tailed Recognition in an Open World, 2019)."""
CALIBRATION_BINS = 15

SCALARS = (
    "accuracy", "balanced_accuracy", "many", "medium", "few", "head", "middle", "tail",
    "macro_f1", "expected_calibration_error", "worst_class", "worst_cell",
    "group_weighted_accuracy",
)  # fmt: skip
"""The fields of `Measured` that are one number, or None where they don't apply."""


@dataclass(frozen=True)
class TrainCounts:
    """What a classifier was trained on, in images.

    Attributes:
        classes: The class names, in the order of the classifier's outputs.
        real: Real training images of each class.
        synthetic: Synthetic training images of each class.
        groups: The group columns; empty without groups.
        cells: The cells' names (class within groups); empty without groups.
        cell_real: Real training images of each cell.
        cell_synthetic: Synthetic training images of each cell.
    """

    classes: tuple[str, ...]
    real: tuple[int, ...]
    synthetic: tuple[int, ...]
    groups: tuple[str, ...] = ()
    cells: tuple[str, ...] = ()
    cell_real: tuple[int, ...] = ()
    cell_synthetic: tuple[int, ...] = ()


@dataclass(frozen=True)
class Measured:
    """How well one classifier does on one set of images. Fractions from 0 to 1.

    Attributes:
        images: Images that it was measured on.
        accuracy: Share of them that is classified rightly.
        balanced_accuracy: Mean of the classes' accuracies, over classes that have images here.
        many: The same over the classes with more than 100 real training images; None where no
            such class has images here. So for the next five.
        medium: Over those with 20 to 100.
        few: Over those with fewer than 20.
        head: Over the third of the classes with the most real training images.
        middle: Over the other classes.
        tail: Over the third with the fewest.
        macro_f1: Mean of the classes' F1 scores, over classes that have images here.
        expected_calibration_error: How far confidence is from accuracy; see `calibration_error`.
        worst_class: Accuracy of the class with the lowest.
        worst_cell: Accuracy of the cell with the lowest, of those with images here; None without
            groups.
        group_weighted_accuracy: Mean of the cells' accuracies, weighted by their shares of the
            real training images (as is usual for Waterbirds), over cells that have images here;
            None without groups.
        worst_class_name: Which class that is.
        worst_cell_name: Which cell that is.
        per_class: Accuracy of each class; None where it has no images here.
        per_cell: Accuracy of each cell; None where it has no images here.
        cell_images: Images of each cell that it was measured on.
        confusion: Images of each true class (row) that were taken for each class (column).
    """

    images: int
    accuracy: float
    balanced_accuracy: float
    many: float | None
    medium: float | None
    few: float | None
    head: float | None
    middle: float | None
    tail: float | None
    macro_f1: float
    expected_calibration_error: float
    worst_class: float
    worst_cell: float | None
    group_weighted_accuracy: float | None
    worst_class_name: str
    worst_cell_name: str | None
    per_class: tuple[float | None, ...]
    per_cell: tuple[float | None, ...]
    cell_images: tuple[int, ...]
    confusion: tuple[tuple[int, ...], ...]

    @property
    def class_images(self) -> tuple[int, ...]:
        """Images of each class that it was measured on."""
        return tuple(sum(row) for row in self.confusion)

    def scalar(self, name: str) -> float | None:
        """One of `SCALARS`."""
        value: float | None = getattr(self, name)
        return value

    @classmethod
    def from_json(cls, content: JsonObject) -> Self:
        """What `dataclasses.asdict` made, after it went through JSON.

        Raises:
            KeyError: A figure is missing.
            TypeError: It isn't such an object.
        """
        return cls(**{field.name: _frozen(content[field.name]) for field in fields(cls)})


def measure(
    probabilities: NDArray[np.float32],
    labels: NDArray[np.int64],
    cells: NDArray[np.int64],
    counts: TrainCounts,
) -> Measured:
    """Measure one classifier.

    Args:
        probabilities: float, shape (images, classes), each in 0..1; the largest is the
            prediction, the first of equal ones.
        labels: int64, shape (images,): the true classes.
        cells: int64, shape (images,): the true cells, -1 where a group is missing; not looked at
            without groups.
        counts: What it was trained on.

    Raises:
        RunError: There are no images, or a probability is no number.
        ValueError: The shapes don't belong together, or it isn't probabilities.
    """
    from sklearn.metrics import confusion_matrix, f1_score

    count = len(counts.classes)
    if probabilities.shape != (len(labels), count) or len(cells) != len(labels):
        raise ValueError(
            f"{probabilities.shape} probabilities, {len(labels)} labels, {len(cells)} cells, "
            f"{count} classes"
        )
    if not len(labels):
        raise RunError("There are no images to measure the classifier on.")
    if not np.isfinite(probabilities).all():
        bad = int(np.count_nonzero(~np.isfinite(probabilities).all(axis=1)))
        raise RunError(
            f"The classifier's answer is no number for {bad:,} of {len(labels):,} images: the "
            "training diverged.",
            "Train with a lower learning rate, a longer warm-up, or hardware.precision=float32.",
        )
    if probabilities.min() < 0 or probabilities.max() > 1.001:
        raise ValueError("these are no probabilities")
    predicted = probabilities.argmax(axis=1).astype(np.int64)
    right = predicted == labels
    confusion = confusion_matrix(labels, predicted, labels=np.arange(count))
    images = confusion.sum(axis=1)
    present = np.flatnonzero(images)
    per_class = _ratio(confusion.diagonal(), images)
    worst_class = int(present[np.argmin(per_class[present])])
    real = np.array(counts.real, dtype=np.int64)
    head, middle, tail = thirds(real)
    # Without groups a cell is no more than a class.
    known = cells[cells >= 0] if counts.cells else cells[:0]
    right_cells = right[cells >= 0] if counts.cells else right[:0]
    cell_images = np.bincount(known, minlength=len(counts.cells))
    per_cell = _ratio(np.bincount(known, right_cells, minlength=len(counts.cells)), cell_images)
    seen = np.flatnonzero(cell_images)
    worst_cell = int(seen[np.argmin(per_cell[seen])]) if len(seen) else None
    shares = np.array(counts.cell_real, dtype=np.float64)[seen]
    return Measured(
        images=len(labels),
        accuracy=float(right.mean()),
        balanced_accuracy=float(per_class[present].mean()),
        many=_mean(per_class[real > MANY_ABOVE]),
        medium=_mean(per_class[(real >= FEW_BELOW) & (real <= MANY_ABOVE)]),
        few=_mean(per_class[real < FEW_BELOW]),
        head=_mean(per_class[head]),
        middle=_mean(per_class[middle]),
        tail=_mean(per_class[tail]),
        macro_f1=float(
            f1_score(labels, predicted, labels=present, average="macro", zero_division=0)
        ),
        expected_calibration_error=calibration_error(probabilities, labels),
        worst_class=float(per_class[worst_class]),
        worst_cell=float(per_cell[worst_cell]) if worst_cell is not None else None,
        group_weighted_accuracy=(
            float(np.average(per_cell[seen], weights=shares)) if shares.sum() else None
        ),
        worst_class_name=counts.classes[worst_class],
        worst_cell_name=counts.cells[worst_cell] if worst_cell is not None else None,
        per_class=_optional(per_class),
        per_cell=_optional(per_cell),
        cell_images=tuple(cell_images.tolist()),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
    )


def thirds(
    real: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Head, middle and tail: the classes by their real training images, in thirds.

    Head and tail are round(classes / 3) each, the middle is the rest: of two classes one is the
    head and one the tail; of one class, it is the middle.

    Args:
        real: int64, shape (classes,): real training images of each. Of classes with equally many
            the earlier one counts as larger.

    Returns:
        The classes' positions, int64, each from the largest class to the smallest.
    """
    order = np.argsort(-real, kind="stable").astype(np.int64)
    third = round(len(order) / 3)
    end = len(order) - third
    return order[:third], order[third:end], order[end:]


def calibration_error(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """The expected calibration error (Guo et al., On Calibration of Modern Neural Networks, 2017).

    sum over m of |B_m| / n * |acc(B_m) - conf(B_m)|, where B_m are the images whose largest
    probability lies in ((m - 1) / 15, m / 15], acc is the share of them that is classified
    rightly, and conf the mean of their largest probabilities.

    Args:
        probabilities: float, shape (images, classes), each in 0..1.
        labels: int64, shape (images,): the true classes.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    bins = np.clip(np.ceil(confidence * CALIBRATION_BINS) - 1, 0, CALIBRATION_BINS - 1)
    # |B_m| cancels out: what is left is the sum of the differences of the sums.
    gaps = np.bincount(bins.astype(np.int64), right - confidence, minlength=CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(labels))


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """part / whole; not a number where there is nothing."""
    ratio = np.full(len(whole), np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio


def _mean(values: NDArray[np.float64]) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def _optional(values: NDArray[np.float64]) -> tuple[float | None, ...]:
    return tuple(None if np.isnan(value) else float(value) for value in values)


def _frozen(value: Any) -> Any:
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    return tuple(_frozen(part) for part in value) if is_list else value
