"""The columns of a balanced dataset that say where an image is from. Knows no images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from synfill.data.source import Column, Source
from synfill.errors import UsageError
from synfill.records import JsonObject

PROVENANCE: dict[str, JsonObject] = {
    "synthetic": {"dtype": "bool", "_type": "Value"},
    "prompt": {"dtype": "string", "_type": "Value"},
    "seed": {"dtype": "int64", "_type": "Value"},
    "generator": {"dtype": "string", "_type": "Value"},
}
"""What each column is called without a prefix, and its feature."""
PREFIX = "synfill_"
NO_VALUE, NO_SEED = "(none)", -1
"""What stands for a missing prompt or generator, and seed, where a file has no null."""


@dataclass(frozen=True)
class Provenance:
    """The columns that say where an image is from.

    Attributes:
        prefix: What stands before `synthetic`, `prompt`, `seed` and `generator` in the names.
        existing: Whether the source has them already: it is one of our own datasets, and its
            rows keep what they say.
    """

    prefix: str = ""
    existing: bool = False

    @property
    def columns(self) -> dict[str, JsonObject]:
        """Name -> feature of the four columns."""
        return {f"{self.prefix}{name}": feature for name, feature in PROVENANCE.items()}

    def name(self, column: str) -> str:
        """The name in this dataset of "synthetic", "prompt", "seed" or "generator"."""
        return f"{self.prefix}{column}"


def find_provenance(columns: Sequence[Column], rename: bool) -> Provenance:
    """Choose the names of the provenance columns.

    Args:
        columns: The source's columns.
        rename: Whether `--rename-columns` was given: ours are called synfill_synthetic, ... then.

    Raises:
        UsageError: The source has a column of such a name that isn't ours.
    """
    kinds = {column.name: column.feature for column in columns}
    if (own := existing_provenance(columns)) is not None:
        return own
    fresh = Provenance(PREFIX if rename else "")
    taken = [name for name in fresh.columns if name in kinds]
    if taken:
        raise UsageError(
            f"The source already has the column{'s' if len(taken) > 1 else ''} "
            f"{', '.join(taken)}, which synfill adds to say how an image was made.",
            "Rename them in the source."
            if rename
            else "Add --rename-columns: synfill's columns are then called "
            f"{', '.join(Provenance(PREFIX).columns)}.",
        )
    return fresh


def existing_provenance(columns: Sequence[Column]) -> Provenance | None:
    """The provenance columns of one of our own datasets; None if it is another's."""
    kinds = {column.name: column.feature for column in columns}
    for prefix in ("", PREFIX):
        own = Provenance(prefix, existing=True)
        if all(_same(kinds.get(name), feature) for name, feature in own.columns.items()):
            return own
    return None


def _same(feature: JsonObject | None, ours: JsonObject) -> bool:
    return feature is not None and all(feature.get(key) == ours[key] for key in ours)


def read_synthetic(source: Source, split: str, provenance: Provenance) -> NDArray[np.bool_]:
    """Of every row of one of our own datasets whether a model made it: bool, shape (rows,)."""
    marks = source.read_column(split, provenance.name("synthetic"))
    return np.asarray(pc.fill_null(marks, False).to_numpy(), dtype=bool)
