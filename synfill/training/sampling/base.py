"""What a sampling is: which of a stage's images an epoch shows, and in which order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from synfill.config.registry import Component
from synfill.training.images.known import Known


@dataclass(frozen=True, eq=False)
class Epoch:
    """An epoch of a stage.

    Attributes:
        number: Which, from 0.
        generator: What differs from epoch to epoch.
        fixed: The same in all of a stage's epochs.
    """

    number: int
    generator: np.random.Generator
    fixed: np.random.Generator


class Sampler(Component):
    """A sampling, with its options; a subclass has a `name` and a `draw`.

    Attributes:
        needs_every_class: Whether it can't do without an image of each class.
        needs_groups: Whether it can't do without group columns.
        shortens: Whether an epoch can show fewer images than the stage sees: a batch is cut to it.
    """

    needs_every_class: ClassVar[bool] = False
    needs_groups: ClassVar[bool] = False
    shortens: ClassVar[bool] = False

    def length(self, labels: NDArray[np.int64]) -> int:
        """How many images an epoch shows, of the stage's with these classes, shape (n,)."""
        return len(labels)

    def draw(self, images: Known, epoch: Epoch) -> NDArray[np.int64]:
        """The images of one epoch, in order.

        Args:
            images: What is known of the stage's images, n of them.
            epoch: Which epoch.

        Returns:
            Positions among the stage's images: int64, shape (`length`,).
        """
        raise NotImplementedError


def draw_evenly(
    kinds: NDArray[np.int64], draws: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Draws with replacement: first a kind that occurs, all alike, then one of its images.

    Args:
        kinds: Of each image, shape (n,).
        draws: How many.
        generator: Where the draws come from.

    Returns:
        Positions, int64, shape (draws,).
    """
    _, code, counts = np.unique(kinds, return_inverse=True, return_counts=True)
    by_kind = np.argsort(code, kind="stable")
    firsts = np.cumsum(counts) - counts
    drawn = generator.integers(len(counts), size=draws)
    chosen: NDArray[np.int64] = by_kind[firsts[drawn] + generator.integers(counts[drawn])]
    return chosen
