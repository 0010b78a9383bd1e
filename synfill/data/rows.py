"""Rows on their way out of a source: which of them are wanted, and their images' bytes.

What is read: a path that stands in a table or a card is a stranger's word and may only lead to
files inside the dataset's own folder, links followed. A link that stands in a folder of images
was put there by its owner and may lead anywhere. Either way only regular files are read.
"""

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from synfill.data.source import IMAGE_TYPE
from synfill.reading import read_regular

LARGEST_IMAGE = 1 << 29
"""Bytes of an image file: more than all the pixels that are decoded of one."""

BATCH_BYTES = 256 << 20
"""Bytes of image files at which a batch of rows ends early."""


def clip_rows(rows: NDArray[np.int64] | None, first: int, count: int) -> NDArray[np.int64]:
    """The wanted rows among `count` rows from `first` on: int64, ascending; None wants all."""
    if rows is None:
        return np.arange(first, first + count, dtype=np.int64)
    begin, end = np.searchsorted(rows, [first, first + count])
    return rows[begin:end]


def with_images(
    numbers: NDArray[np.int64],
    batch: pa.RecordBatch,
    images: Collection[str],
    folders: Sequence[Path],
    within: Sequence[Path],
) -> Iterator[tuple[NDArray[np.int64], pa.RecordBatch]]:
    """A batch with its images as struct<bytes, path>, in parts of 256 MiB or a little more.

    Where only a path is stored, the file's bytes are read; they stay null where there is none.

    Args:
        numbers: The rows' numbers, shape (rows,).
        batch: The rows; images are binaries, or structs of bytes and path.
        images: The columns that hold images.
        folders: Where a path starts from, in the order they are tried.
        within: Folders that a file must be in: a path in a dataset may not name any other.
    """
    paths = {name: _unread_paths(batch.column(name)) for name in images}
    paths = {name: found for name, found in paths.items() if found}
    read: dict[str, dict[int, bytes | None]] = {name: {} for name in paths}
    first = size = 0
    for row in range(batch.num_rows):
        for name, found in paths.items():
            if row in found:
                data = read[name][row - first] = _read_inside(found[row], folders, within)
                size += len(data or b"")
        if size >= BATCH_BYTES or row + 1 == batch.num_rows:
            part = batch.slice(first, row + 1 - first)
            arrays = [
                as_image_structs(array, read.get(name, {})) if name in images else array
                for name, array in zip(part.schema.names, part.columns, strict=True)
            ]
            yield (
                numbers[first : row + 1],
                pa.record_batch(arrays, names=part.schema.names),
            )
            first, size, read = row + 1, 0, {name: {} for name in paths}


def _unread_paths(array: pa.Array) -> dict[int, str]:
    """Row -> path of the images that are stored by path alone."""
    if not pa.types.is_struct(array.type):
        return {}
    data, paths = _members(array)
    if not data.null_count or data.null_count + paths.null_count >= 2 * len(array):
        return {}
    empty = data.is_null().to_pylist()
    return {
        row: path
        for row, (is_empty, path) in enumerate(zip(empty, paths.to_pylist(), strict=True))
        if is_empty and path
    }


def as_image_structs(array: pa.Array, read: dict[int, bytes | None]) -> pa.StructArray:
    """Stored images as struct<bytes, path>, shape (rows,).

    Args:
        array: Binaries, or structs of bytes and path.
        read: Row -> bytes that were read from the path that is stored there.
    """
    if not pa.types.is_struct(array.type):
        paths = pa.nulls(len(array), pa.string())
        return pa.StructArray.from_arrays([array.cast(pa.binary()), paths], fields=list(IMAGE_TYPE))
    data, paths = _members(array)
    if read:
        held = data.to_pylist()
        data = pa.array([read.get(row, one) for row, one in enumerate(held)], pa.binary())
    return pa.StructArray.from_arrays([data, paths], fields=list(IMAGE_TYPE))


def _members(array: pa.Array) -> tuple[pa.Array, pa.Array]:
    names = [field.name for field in array.type]
    # flatten, unlike field, carries the nulls of the structs themselves down to their members.
    members = dict(zip(names, array.flatten(), strict=True))
    paths = members.get("path", pa.nulls(len(array), pa.string()))
    return members["bytes"].cast(pa.binary()), paths.cast(pa.string())


def read_file(path: Path | str) -> bytes | None:
    """An image file's bytes; None where it can't be read, or is no regular file."""
    try:
        return read_regular(Path(path), LARGEST_IMAGE)
    except (OSError, ValueError):
        return None


def _read_inside(path: str | None, folders: Sequence[Path], within: Sequence[Path]) -> bytes | None:
    if not path or "\0" in path:
        return None
    allowed = [os.path.realpath(folder) + os.sep for folder in within]
    for folder in folders:
        target = os.path.realpath(folder / path)
        if target.startswith(tuple(allowed)) and (data := read_file(target)) is not None:
            return data
    return None
