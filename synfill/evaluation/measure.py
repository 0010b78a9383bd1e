"""Probabilities of one trained classifier on one set of images -> every figure that is reported.

Takes arrays and gives numbers, as fractions from 0 to 1; knows neither torch nor files. What an
average over seeds is stands in `results`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synfill.config.registry import name_of
from synfill.errors import RunError
from synfill.evaluation.metrics.base import Answers, TrainCounts, metrics, worst
from synfill.records import JsonObject


@dataclass(frozen=True)
class Measured:
    """How well one classifier does on one set of images. Fractions from 0 to 1.

    Each figure is an attribute, too: `measured.accuracy`.

    Attributes:
        images: Images that it was measured on.
        figures: The figure of each metric, by its name; None where it doesn't apply.
        worst_class_name: The class with the lowest accuracy.
        worst_cell_name: The cell with the lowest; None without groups.
        per_class: Accuracy of each class; None where it has no images here.
        per_cell: Accuracy of each cell; None where it has no images here.
        cell_images: Images of each cell that it was measured on.
        confusion: Images of each true class (row) that were taken for each class (column).
    """

    images: int
    figures: Mapping[str, float | None]
    worst_class_name: str
    worst_cell_name: str | None
    per_class: tuple[float | None, ...]
    per_cell: tuple[float | None, ...]
    cell_images: tuple[int, ...]
    confusion: tuple[tuple[int, ...], ...]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["figures"][name]
        except KeyError:
            raise AttributeError(f"there is no figure '{name}'") from None

    @property
    def class_images(self) -> tuple[int, ...]:
        """Images of each class that it was measured on."""
        return tuple(sum(row) for row in self.confusion)

    def to_json(self) -> JsonObject:
        """All of it; the figures stand among the rest, by name."""
        content = asdict(self)
        images, figures = content.pop("images"), content.pop("figures")
        return {"images": images, **figures, **content}


def measure(
    probabilities: NDArray[np.float32],
    labels: NDArray[np.int64],
    cells: NDArray[np.int64],
    counts: TrainCounts,
) -> Measured:
    """Measure one classifier by all metrics.

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
    count = len(counts.classes)
    if probabilities.shape != (len(labels), count) or len(cells) != len(labels):
        raise ValueError(
            f"{probabilities.shape} probabilities, {len(labels)} labels, {len(cells)} cells, "
            f"{count} classes"
        )
    if not len(labels):
        raise RunError("There are no images to measure the classifier on.")
    if bad := int(np.count_nonzero(~np.isfinite(probabilities).all(axis=1))):
        raise RunError(
            f"The classifier's answer is no number for {bad:,} of {len(labels):,} images: the "
            "training diverged.",
            "Train with a lower learning rate, a longer warm-up, or hardware.precision=float32.",
        )
    if probabilities.min() < 0 or probabilities.max() > 1.001:
        raise ValueError("these are no probabilities")
    answers = Answers(probabilities, labels, cells, counts)
    worst_class, worst_cell = worst(answers.class_accuracy), worst(answers.cell_accuracy)
    assert worst_class is not None
    return Measured(
        images=len(labels),
        figures={name_of(metric): metric().measure(answers) for metric in metrics()},
        worst_class_name=counts.classes[worst_class],
        worst_cell_name=counts.cells[worst_cell] if worst_cell is not None else None,
        per_class=_optional(answers.class_accuracy),
        per_cell=_optional(answers.cell_accuracy),
        cell_images=tuple(answers.cell_images.tolist()),
        confusion=tuple(map(tuple, answers.confusion.tolist())),
    )


def _optional(values: NDArray[np.float64]) -> tuple[float | None, ...]:
    return tuple(None if np.isnan(value) else float(value) for value in values)
