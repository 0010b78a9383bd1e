"""Rows on their way out of a source: which of them are wanted, and their images' bytes."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from synfill.data.source import IMAGE_TYPE


def clip_rows(rows: NDArray[np.int64] | None, first: int, count: int) -> NDArray[np.int64]:
    """The wanted rows among `count` rows from `first` on: int64, ascending; None wants all."""
    if rows is None:
        return np.arange(first, first + count, dtype=np.int64)
    begin, end = np.searchsorted(rows, [first, first + count])
    return rows[begin:end]


def as_image_structs(
    array: pa.Array, folders: Sequence[Path], within: Sequence[Path]
) -> pa.StructArray:
    """Stored images as struct<bytes, path>, shape (rows,).

    Where only a path is stored, the file's bytes are read; they stay null where there is none.

    Args:
        array: Binaries, or structs of bytes and path.
        folders: Where a path starts from, in the order they are tried.
        within: Folders that a file must be in: a path in a dataset may not name any other.
    """
    if not pa.types.is_struct(array.type):
        paths = pa.nulls(len(array), pa.string())
        return pa.StructArray.from_arrays([array.cast(pa.binary()), paths], fields=list(IMAGE_TYPE))
    names = [field.name for field in array.type]
    # flatten, unlike field, carries the nulls of the structs themselves down to their members.
    members = dict(zip(names, array.flatten(), strict=True))
    data = members["bytes"].cast(pa.binary())
    paths = members.get("path", pa.nulls(len(array), pa.string())).cast(pa.string())
    if data.null_count and data.null_count + paths.null_count < 2 * len(array):
        read = [
            held if held is not None else _read_inside(path, folders, within)
            for held, path in zip(data.to_pylist(), paths.to_pylist(), strict=True)
        ]
        data = pa.array(read, pa.binary())
    return pa.StructArray.from_arrays([data, paths], fields=list(IMAGE_TYPE))


def read_file(path: Path | str) -> bytes | None:
    """A file's bytes; None where it can't be read."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
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
