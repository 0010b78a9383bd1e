"""Accuracy over classes by how many real training images they have.

Many, medium and few go by fixed numbers (Liu et al., Large-Scale Long-Tailed Recognition in an Open
World, 2019), head, middle and tail by thirds of the classes. Synthetic images don't count: a class
stays in its place, whatever is added.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from synfill.evaluation.metrics.base import Answers, Metric, Shown, mean_accuracy

MANY_ABOVE = 100
FEW_BELOW = 20


class _SomeClasses(Metric):
    """Mean of the accuracies of some of the classes."""

    def measure(self, answers: Answers) -> float | None:
        """The figure; None where no such class has images here."""
        real = np.array(answers.counts.real, dtype=np.int64)
        return mean_accuracy(answers.class_accuracy, self._choose(real))

    @abstractmethod
    def _choose(self, real: NDArray[np.int64]) -> NDArray[Any]:
        """Which ones: a mask or positions, from the real training images of each."""


class _BySize(_SomeClasses):
    shown: ClassVar[Shown] = "summary"
    is_plain: ClassVar[bool] = True


class Many(_BySize):
    """The same over classes with more than 100 real training images."""

    name: Literal["many"] = "many"

    def _choose(self, real: NDArray[np.int64]) -> NDArray[Any]:
        return real > MANY_ABOVE


class Medium(_BySize):
    """The same over classes with 20 to 100 real training images."""

    name: Literal["medium"] = "medium"

    def _choose(self, real: NDArray[np.int64]) -> NDArray[Any]:
        return (real >= FEW_BELOW) & (real <= MANY_ABOVE)


class Few(_BySize):
    """The same over classes with fewer than 20 real training images."""

    name: Literal["few"] = "few"

    def _choose(self, real: NDArray[np.int64]) -> NDArray[Any]:
        return real < FEW_BELOW


class Head(_SomeClasses):
    """The same over the third of the classes with the most real training images."""

    name: Literal["head"] = "head"

    def _choose(self, real: NDArray[np.int64]) -> NDArray[Any]:
        return thirds(real)[0]


class Middle(_SomeClasses):
    """The same over the classes that are neither head nor tail."""

    name: Literal["middle"] = "middle"

    def _choose(self, real: NDArray[np.int64]) -> NDArray[Any]:
        return thirds(real)[1]


class Tail(_SomeClasses):
    """The same over the third of the classes with the fewest real training images."""

    name: Literal["tail"] = "tail"
    shown: ClassVar[Shown] = "summary"
    is_paired: ClassVar[bool] = True

    def _choose(self, real: NDArray[np.int64]) -> NDArray[Any]:
        return thirds(real)[2]


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
