"""What a loss is: its options, what it is made for, and the targets that it is given.

Imports no torch, so that a recipe can be checked without; `module.py` has the part that trains.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from synfill.config.registry import Component

if TYPE_CHECKING:
    from torch import Tensor

    from synfill.training.losses.module import LossModule


@dataclass(frozen=True, eq=False)
class Facts:
    """What is known of a stage before it is trained. Every image is in exactly one cell.

    Attributes:
        class_counts: int64, shape (classes,): the stage's images of each class.
        cell_counts: int64, shape (cells,): of each cell. The last `classes` cells hold each
            class's images without a group: all of them, where there are no groups.
        cell_classes: int64, shape (cells,): the class of each cell; -1 where no image tells.
        stage: This stage, from 0.
        stages: How many there are.
        epochs: The passes over its images that it will make.
    """

    class_counts: NDArray[np.int64]
    cell_counts: NDArray[np.int64]
    cell_classes: NDArray[np.int64]
    stage: int = 0
    stages: int = 1
    epochs: int = 1


def whole_cells(
    labels: NDArray[np.int64], cells: NDArray[np.int64], classes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cells in which every image has its place; see `Facts`.

    Args:
        labels: The class of every training image, shape (images,).
        cells: The cell of every training image, -1 for none; shape (images,).
        classes: How many classes there are.

    Returns:
        The cell of every image, int64, shape (images,), none of them -1; and the class of each
        cell, int64, shape (cells,), -1 where no image tells.
    """
    named = int(cells.max(initial=-1)) + 1
    found = np.where(cells < 0, named + labels, cells)
    cell_classes = np.full(named + classes, -1)
    cell_classes[named:] = np.arange(classes)
    cell_classes[found] = labels
    return found, cell_classes


@dataclass(frozen=True, eq=False)
class Targets:
    """What is known of a batch's images.

    Attributes:
        labels: int64, shape (b,): classes.
        cells: int64, shape (b,): cells, as `Facts` numbers them.
    """

    labels: Tensor
    cells: Tensor

    def take(self, positions: Tensor | slice) -> Targets:
        """Those of some of the images; positions is int64, or a slice."""
        return Targets(self.labels[positions], self.cells[positions])


class Loss(Component):
    """A loss, with its options; a subclass has a `name` and a `build`."""

    @property
    def cosine_scale(self) -> float | None:
        """The factor of the cosine classifier that the network is to have; None for its own.

        The last layer then gives this times the cosine between the features and each class's
        weights, in all stages of the run and ever after.
        """
        return None

    def build(self, facts: Facts) -> LossModule:
        """The loss of one stage, on the CPU; all randomness from torch's own generator."""
        raise NotImplementedError
