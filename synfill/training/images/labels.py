"""All images that a recipe means with their classes and cells, before one of them is read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synfill.config.recipes.settings import DataSettings
from synfill.errors import UsageError
from synfill.training.images.known import ImageLabels
from synfill.training.images.matching import Cells, find_cells, find_classes, match_classes
from synfill.training.images.parts import Part, Parts, open_parts


@dataclass(frozen=True, eq=False)
class LabelledParts:
    """The images of all parts, one part after the other.

    Attributes:
        parts: Where they are.
        classes: The classes that occur in the training images, in the training dataset's order.
        cells: Each class with each combination of group values.
        labels: What is known of every image.
        roles: str, shape (images,): train, validation or test.
    """

    parts: Parts
    classes: tuple[str, ...]
    cells: Cells
    labels: ImageLabels
    roles: NDArray[np.str_]

    @property
    def train(self) -> ImageLabels:
        """What is known of the training images."""
        return self.labels.take(np.flatnonzero(self.roles == "train"))

    def part_of(self, position: int) -> Part:
        """The part that the image at a position is of."""
        ends = np.cumsum([len(part.table) for part in self.parts.all])
        return self.parts.all[int(np.searchsorted(ends, position, side="right"))]


def find_labels(data: DataSettings, balanced: str | None) -> LabelledParts:
    """Open the datasets and match their classes and groups by name.

    Args:
        data: What the recipe says.
        balanced: The balanced dataset that was made from `data.synthetic.balance`; else None.

    Raises:
        UsageError: A dataset, a split, a column or images are missing, or don't fit together.
        RunError: A dataset can't be read.
    """
    parts = open_parts(data, balanced)
    classes = find_classes([part.table for part in parts.train])
    if len(classes) < 2:
        raise UsageError(
            f"The training images of {parts.real.source.origin.location} have only "
            f"{'the class ' + classes[0] if classes else 'no class'}: there is nothing to tell "
            "apart.",
            "Choose another class column with data.label.",
        )
    cells = find_cells(classes, [part.table for part in parts.all])
    labels = [match_classes(part.table, classes, part.describe(), part.key) for part in parts.all]
    in_cells = [cells.codes(part.table, own) for part, own in zip(parts.all, labels, strict=True)]
    sizes = [len(part.table) for part in parts.all]
    return LabelledParts(
        parts=parts,
        classes=classes,
        cells=cells,
        labels=ImageLabels(
            labels=np.concatenate(labels),
            cells=np.concatenate(in_cells),
            groups=np.concatenate([cells.group_codes(part.table) for part in parts.all]),
            synthetic=np.repeat([part.is_synthetic for part in parts.all], sizes),
            rows=np.concatenate([part.table.rows for part in parts.all]),
        ),
        roles=np.repeat([part.role for part in parts.all], sizes),
    )
