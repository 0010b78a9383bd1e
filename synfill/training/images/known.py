"""What is known of images, apart from their pixels. Numpy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of n images; position i is the same image in all of it.

    Attributes:
        labels: int64, shape (n,): index of the class.
        cells: int64, shape (n,): index of the cell; -1 where a group is missing, or there are no
            groups.
        synthetic: bool, shape (n,).
    """

    labels: NDArray[np.int64]
    cells: NDArray[np.int64]
    synthetic: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, positions: NDArray[np.int64]) -> Known:
        """The images at some positions."""
        return Known(self.labels[positions], self.cells[positions], self.synthetic[positions])


@dataclass(frozen=True, eq=False)
class ImageLabels(Known):
    """What is known of them in the dataset that they are from, too.

    Attributes:
        groups: int64, shape (n, group columns): which of the group's values; -1 where it is
            missing.
        rows: int64, shape (n,): row in the source's split.
    """

    groups: NDArray[np.int64]
    rows: NDArray[np.int64]

    def take(self, positions: NDArray[np.int64]) -> ImageLabels:
        """The images at some positions."""
        known = super().take(positions)
        return ImageLabels(**vars(known), groups=self.groups[positions], rows=self.rows[positions])
