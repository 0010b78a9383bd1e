"""Accuracy over classes by how many real training images they have.

Many, medium and few go by fixed numbers (Liu et al., Large-Scale Long-Tailed Recognition in an Open
World, 2019), head, middle and tail by thirds of the classes. Synthetic images don't count: a class
stays in its place, whatever is added.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from synfill.evaluation.metrics.base import Answers, Metric, Shown, mean_accuracy

MANY_ABOVE = 100
FEW_BELOW = 20


class Many(Metric):
    """The same over classes with more than 100 real training images."""

    name: Literal["many"] = "many"
    shown: ClassVar[Shown] = "summary"
    is_plain: ClassVar[bool] = True

    def measure(self, answers: Answers) -> float | None:
        """The figure; None where no such class has images here. So for the next ones."""
        return mean_accuracy(answers.class_accuracy, _real(answers) > MANY_ABOVE)


class Medium(Metric):
    """The same over classes with 20 to 100 real training images."""

    name: Literal["medium"] = "medium"
    shown: ClassVar[Shown] = "summary"
    is_plain: ClassVar[bool] = True

    def measure(self, answers: Answers) -> float | None:
        """The figure."""
        real = _real(answers)
        return mean_accuracy(answers.class_accuracy, (real >= FEW_BELOW) & (real <= MANY_ABOVE))


class Few(Metric):
    """The same over classes with fewer than 20 real training images."""

    name: Literal["few"] = "few"
    shown: ClassVar[Shown] = "summary"
    is_plain: ClassVar[bool] = True

    def measure(self, answers: Answers) -> float | None:
        """The figure."""
        return mean_accuracy(answers.class_accuracy, _real(answers) < FEW_BELOW)


class Head(Metric):
    """The same over the third of the classes with the most real training images."""

    name: Literal["head"] = "head"

    def measure(self, answers: Answers) -> float | None:
        """The figure."""
        return mean_accuracy(answers.class_accuracy, thirds(_real(answers))[0])


class Middle(Metric):
    """The same over the classes that are neither head nor tail."""

    name: Literal["middle"] = "middle"

    def measure(self, answers: Answers) -> float | None:
        """The figure."""
        return mean_accuracy(answers.class_accuracy, thirds(_real(answers))[1])


class Tail(Metric):
    """The same over the third of the classes with the fewest real training images."""

    name: Literal["tail"] = "tail"
    shown: ClassVar[Shown] = "summary"
    is_paired: ClassVar[bool] = True

    def measure(self, answers: Answers) -> float | None:
        """The figure."""
        return mean_accuracy(answers.class_accuracy, thirds(_real(answers))[2])


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


def _real(answers: Answers) -> NDArray[np.int64]:
    return np.array(answers.counts.real, dtype=np.int64)
