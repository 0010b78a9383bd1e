"""Classes and groups of several sets of images, matched by their names, never by their numbers.

One dataset numbers its classes in another order than the next, one stores them as text and one as
whole numbers: what they are called is what they have in common. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synfill.errors import UsageError, suggest
from synfill.records import MISSING, Cell, Factor, LabelTable
from synfill.wording import list_names


@dataclass(frozen=True, eq=False)
class Cells:
    """The classes within the groups.

    Attributes:
        groups: The group columns.
        values: Of each group column the values that occur, in order.
        combinations: Each combination of group values that occurs, in order.
        cells: Each class with each combination, class by class; () without groups.
    """

    groups: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]
    combinations: tuple[tuple[str, ...], ...]
    cells: tuple[Cell, ...]

    def codes(self, table: LabelTable, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """The cell of each image: int64, shape (images,); -1 where a group is missing."""
        if not self.groups:
            return np.full(len(labels), MISSING, dtype=np.int64)
        position = {values: code for code, values in enumerate(self.combinations)}
        combined = np.array(
            [position.get(values, MISSING) for values in _combinations(table)], dtype=np.int64
        )
        return np.where(combined < 0, MISSING, labels * len(self.combinations) + combined)

    def group_codes(self, table: LabelTable) -> NDArray[np.int64]:
        """Each image's position in `values`, int64, shape (images, groups); -1 where missing."""
        codes = np.full((len(table), len(self.groups)), MISSING, dtype=np.int64)
        for at, group in enumerate(table.groups):
            position = {name: code for code, name in enumerate(self.values[at])}
            # The last entry stands for a missing value, which indexes it as -1.
            names = np.array([*(position[name] for name in group.names), MISSING], dtype=np.int64)
            codes[:, at] = names[group.codes]
        return codes


def label_of(table: LabelTable) -> Factor:
    """The class column of a table that was read with one."""
    assert table.label is not None
    return table.label


def labelled(table: LabelTable) -> LabelTable:
    """The images that have a label."""
    return table.take(np.flatnonzero(label_of(table).codes != MISSING))


def find_classes(tables: Sequence[LabelTable]) -> tuple[str, ...]:
    """The classes that have images in any table: in the first one's order, then the others'."""
    occurring = {name for table in tables for name in _occurring(label_of(table))}
    names = dict.fromkeys(name for table in tables for name in label_of(table).names)
    return tuple(name for name in names if name in occurring)


def match_classes(
    table: LabelTable, classes: Sequence[str], where: str, key: str
) -> NDArray[np.int64]:
    """The class of each image: int64, shape (images,).

    Args:
        table: The images; all of them have a label.
        classes: The classes of the training images.
        where: What the images are ("The test split 'test' of DIGITS"), for the message.
        key: Where the recipe names them ("data.test").

    Raises:
        UsageError: It has images of a class that isn't among these.
    """
    label = label_of(table)
    unknown = [name for name in _occurring(label) if name not in set(classes)]
    if unknown:
        listed = list_names([repr(name) for name in unknown], 10)
        raise UsageError(
            f"{where} has images of classes that no training image has: {listed}.",
            f"{suggest(unknown[0], classes, 'classes of the training images')} Classes are "
            f"matched by name: rename them, or choose other images with {key}.",
        )
    position = {name: code for code, name in enumerate(classes)}
    # What has no image here may be unknown: it is never looked up.
    translation = np.array([position.get(name, MISSING) for name in label.names], dtype=np.int64)
    return translation[label.codes]


def find_cells(classes: Sequence[str], tables: Sequence[LabelTable]) -> Cells:
    """The cells of all images: every class with every combination of group values that occurs.

    Args:
        classes: The class names.
        tables: All sets of images, with the same group columns in the same order.
    """
    groups = tuple(group.name for group in tables[0].groups)
    if not groups:
        return Cells((), (), (), ())
    values = tuple(
        tuple(dict.fromkeys(name for table in tables for name in table.groups[at].names))
        for at in range(len(groups))
    )
    order = [{name: code for code, name in enumerate(names)} for names in values]
    occurring = {values for table in tables for values in set(_combinations(table)) if values}
    combinations = tuple(
        sorted(
            occurring,
            key=lambda values: [codes[name] for codes, name in zip(order, values, strict=True)],
        )
    )
    cells = tuple(
        Cell(name, tuple(zip(groups, values, strict=True)))
        for name in classes
        for values in combinations
    )
    return Cells(groups, values, combinations, cells)


def _occurring(factor: Factor) -> list[str]:
    return [name for name, count in zip(factor.names, factor.counts(), strict=True) if count]


def _combinations(table: LabelTable) -> list[tuple[str, ...]]:
    """Each image's group values, as text; () where one is missing."""
    codes = np.stack([group.codes for group in table.groups], axis=1)
    distinct, which = np.unique(codes, axis=0, return_inverse=True)
    names = [
        ()
        if MISSING in row
        else tuple(group.names[code] for group, code in zip(table.groups, row, strict=True))
        for row in distinct.tolist()
    ]
    return [names[position] for position in which.reshape(-1).tolist()]
