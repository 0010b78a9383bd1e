"""What a metric is, and what it is computed from. Knows neither torch nor files.

A metric is a component: a class with a name, whose docstring's first line is its definition. It is
computed from probabilities that are stored, so that a new one needs no training.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, cast

import numpy as np
from numpy.typing import NDArray

from synfill.config.components import METRICS
from synfill.config.registry import Component, describe, name_of

Shown = Literal["metrics", "comparison", "summary"]
"""Where a figure is shown: in a method's own files and card alone; in comparisons, too; and in a
comparison's short table and picture, too."""
_WIDTHS: tuple[Shown, ...] = ("metrics", "comparison", "summary")


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


@dataclass(frozen=True, eq=False)
class Answers:
    """What one classifier said of a set of images, what is true, and what follows from both.

    Attributes:
        probabilities: float32, shape (images, classes), each in 0..1; the largest is the
            prediction, the first of equal ones.
        labels: int64, shape (images,): the true classes.
        cells: int64, shape (images,): the true cells, -1 where a group is missing; not looked at
            without groups.
        counts: What the classifier was trained on.
    """

    probabilities: NDArray[np.float32]
    labels: NDArray[np.int64]
    cells: NDArray[np.int64]
    counts: TrainCounts

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """int64, shape (images,): the classes that they are taken for."""
        predicted: NDArray[np.int64] = self.probabilities.argmax(axis=1).astype(np.int64)
        return predicted

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """bool, shape (images,): which are classified rightly."""
        right: NDArray[np.bool_] = self.predicted == self.labels
        return right

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """int64, shape (classes, classes): images of a true class (row) taken for a class."""
        classes = len(self.counts.classes)
        pairs = np.bincount(self.labels * classes + self.predicted, minlength=classes**2)
        return pairs.reshape(classes, classes)

    @cached_property
    def class_accuracy(self) -> NDArray[np.float64]:
        """float64, shape (classes,): not a number where a class has no images here."""
        return _share(self.confusion.diagonal(), self.confusion.sum(axis=1))

    @cached_property
    def present(self) -> NDArray[np.int64]:
        """int64: the classes that have images here."""
        return np.flatnonzero(self.confusion.sum(axis=1))

    @cached_property
    def cell_images(self) -> NDArray[np.int64]:
        """int64, shape (cells,)."""
        return np.bincount(self.cells[self._in_cells], minlength=len(self.counts.cells))

    @cached_property
    def cell_accuracy(self) -> NDArray[np.float64]:
        """float64, shape (cells,): not a number where a cell has no images here."""
        inside = self._in_cells
        right = np.bincount(self.cells[inside], self.right[inside], len(self.counts.cells))
        return _share(right, self.cell_images)

    @cached_property
    def _in_cells(self) -> NDArray[np.bool_]:
        # Without groups a cell is no more than a class.
        inside: NDArray[np.bool_] = (self.cells >= 0) & bool(self.counts.cells)
        return inside


class Metric(Component):
    """A figure: a fraction from 0 to 1 for one classifier on one set of images.

    Attributes:
        title: What it is called in tables; by default its name, with spaces.
        shown: Where it is shown.
        is_paired: Whether a comparison has its difference from the first method.
        is_plain: Whether a comparison's short table leaves out its interval, for room.
        is_error: Whether less is better; such figures come last.
    """

    title: ClassVar[str] = ""
    shown: ClassVar[Shown] = "comparison"
    is_paired: ClassVar[bool] = False
    is_plain: ClassVar[bool] = False
    is_error: ClassVar[bool] = False

    @abstractmethod
    def measure(self, answers: Answers) -> float | None:
        """The figure; None where it doesn't apply."""


def metrics(shown: Shown = "metrics") -> list[type[Metric]]:
    """The metrics that are shown somewhere, in the order in which they are listed."""
    wanted = _WIDTHS.index(shown)
    every = cast(list[type[Metric]], list(METRICS))
    return [metric for metric in every if _WIDTHS.index(metric.shown) >= wanted]


def metric_names(shown: Shown = "metrics") -> list[str]:
    """The names of `metrics`, as they are listed."""
    return [name_of(metric) for metric in metrics(shown)]


def names_for_tables() -> list[str]:
    """The names of all metrics, errors last."""
    return [name_of(metric) for metric in sorted(metrics(), key=lambda metric: metric.is_error)]


def paired_names() -> list[str]:
    """The names of those of which a comparison has the difference from the first method."""
    return [name_of(metric) for metric in metrics("comparison") if metric.is_paired]


def definitions() -> dict[str, str]:
    """What each metric is, as a phrase."""
    texts = {name_of(metric): describe(metric) for metric in metrics()}
    return {name: text[:1].lower() + text[1:] for name, text in texts.items()}


def title_of(name: str) -> str:
    """What a metric is called in tables."""
    return cast(type[Metric], METRICS[name]).title or name.replace("_", " ")


def mean_accuracy(
    accuracy: NDArray[np.float64], chosen: NDArray[Any] | Sequence[int]
) -> float | None:
    """The mean over the chosen classes or cells that have images here; None if none has."""
    known = accuracy[chosen]
    known = known[~np.isnan(known)]
    return float(known.mean()) if len(known) else None


def worst(accuracy: NDArray[np.float64]) -> int | None:
    """The position of the lowest, the first of equal ones; None if there are no images at all."""
    return None if np.isnan(accuracy).all() else int(np.nanargmin(accuracy))


def _share(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """part / whole; not a number where there is nothing."""
    share = np.full(len(whole), np.nan)
    np.divide(part, whole, out=share, where=whole > 0)
    return share
