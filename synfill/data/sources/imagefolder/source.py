"""The images of a folder as a source: their bytes are read when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from synfill.data.rows import BATCH_BYTES, clip_rows, read_file
from synfill.data.source import IMAGE_TYPE, Column, Origin
from synfill.data.stamp import look_at
from synfill.names import readable

IMAGE = "image"
"""What the images' column is called."""


@dataclass(frozen=True, eq=False)
class ImagesOfSplit:
    """A split's images.

    Attributes:
        paths: Where each is, below the root.
        table: The other columns of the same rows.
    """

    paths: list[str]
    table: pa.Table


class ImageFolderSource:
    """A folder of image files (see `synfill.data.source.Source`)."""

    def __init__(
        self,
        origin: Origin,
        root: Path,
        splits: dict[str, ImagesOfSplit],
        columns: tuple[Column, ...],
        notes: tuple[str, ...],
    ) -> None:
        self.origin = origin
        self.splits = tuple(splits)
        self.columns = columns
        self.notes = notes
        self._root = root
        self._splits = splits

    def count(self, split: str) -> int:
        """How many images a split has."""
        return len(self._splits[split].paths)

    def read_column(self, split: str, name: str) -> pa.ChunkedArray:
        """A column of the metadata, or the label that the folders give."""
        return self._splits[split].table.column(name)

    def iter_rows(
        self, split: str, rows: NDArray[np.int64] | None = None, batch_rows: int = 256
    ) -> Iterator[tuple[NDArray[np.int64], pa.RecordBatch]]:
        """Whole rows in ascending order; a batch also ends at 256 MiB of images."""
        held = self._splits[split]
        wanted = clip_rows(rows, 0, len(held.paths))
        data: list[bytes | None] = []
        first = size = 0
        for position, row in enumerate(wanted, start=1):
            data.append(read_file(self._root / held.paths[row]))
            size += len(data[-1] or b"")
            if len(data) == batch_rows or size >= BATCH_BYTES or position == len(wanted):
                yield wanted[first:position], _batch(held, wanted[first:position], data)
                data, first, size = [], position, 0

    def describe_row(self, split: str, row: int) -> str:
        """The image's path below the root."""
        return readable(self._splits[split].paths[row])

    def image_bytes(self, split: str) -> int:
        """Bytes of a split's files."""
        return look_at(self._root, self._splits[split].paths).bytes

    def stamp(self) -> str | None:
        """Of the images' files; None if one was changed just now."""
        paths = (path for split in self._splits.values() for path in split.paths)
        return look_at(self._root, paths).stamp


def _batch(
    split: ImagesOfSplit, rows: NDArray[np.int64], data: list[bytes | None]
) -> pa.RecordBatch:
    paths = pa.array([readable(split.paths[row]) for row in rows], pa.string())
    images = pa.StructArray.from_arrays(
        [pa.array(data, pa.binary()), paths], fields=list(IMAGE_TYPE)
    )
    arrays = {IMAGE: images}
    for name, column in zip(split.table.column_names, split.table.columns, strict=True):
        arrays[name] = pc.take(column, pa.array(rows)).combine_chunks()
    return pa.record_batch(list(arrays.values()), names=list(arrays))
