"""Sources that have a table of labels in memory, and read each image when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from synfill.data.rows import BATCH_BYTES, clip_rows
from synfill.data.source import IMAGE_TYPE, Column, Origin
from synfill.names import readable

IMAGE = "image"
"""What the images' column is called."""


@dataclass(frozen=True, eq=False)
class Listed:
    """A split's images.

    Attributes:
        paths: What each is called; of files their paths below a root.
        table: The other columns of the same rows.
    """

    paths: list[str]
    table: pa.Table


class ListedSource:
    """The part of a source (see `synfill.data.source.Source`) that is the same for all of these."""

    def __init__(
        self,
        origin: Origin,
        held: Mapping[str, Listed],
        columns: tuple[Column, ...],
        notes: tuple[str, ...] = (),
    ) -> None:
        self.origin = origin
        self.splits = tuple(held)
        self.columns = columns
        self.notes = notes
        self._held = held

    def count(self, split: str) -> int:
        """How many images a split has."""
        return len(self._held[split].paths)

    def read_column(self, split: str, name: str) -> pa.ChunkedArray:
        """One column that isn't an image, of all rows of a split."""
        return self._held[split].table.column(name)

    def iter_rows(
        self, split: str, rows: NDArray[np.int64] | None = None, batch_rows: int = 256
    ) -> Iterator[tuple[NDArray[np.int64], pa.RecordBatch]]:
        """Whole rows in ascending order; a batch also ends at 256 MiB of images."""
        held = self._held[split]
        wanted = clip_rows(rows, 0, len(held.paths))
        data: list[bytes | None] = []
        first = size = 0
        for position, row in enumerate(wanted, start=1):
            data.append(self.read_image(split, row))
            size += len(data[-1] or b"")
            if len(data) == batch_rows or size >= BATCH_BYTES or position == len(wanted):
                yield wanted[first:position], _batch(held, wanted[first:position], data)
                data, first, size = [], position, 0

    def read_image(self, split: str, row: int) -> bytes | None:
        """The bytes of an image; None where they can't be read."""
        raise NotImplementedError

    def describe_row(self, split: str, row: int) -> str:
        """What the image is called."""
        return readable(self._held[split].paths[row])


def _batch(held: Listed, rows: NDArray[np.int64], data: list[bytes | None]) -> pa.RecordBatch:
    paths = pa.array([readable(held.paths[row]) for row in rows], pa.string())
    images = pa.StructArray.from_arrays(
        [pa.array(data, pa.binary()), paths], fields=list(IMAGE_TYPE)
    )
    arrays = {IMAGE: images}
    for name, column in zip(held.table.column_names, held.table.columns, strict=True):
        arrays[name] = pc.take(column, pa.array(rows)).combine_chunks()
    return pa.record_batch(list(arrays.values()), names=list(arrays))
