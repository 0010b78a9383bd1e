"""Integers between Arrow and numpy. pyarrow's own conversions do the same, but import pandas
for it, which takes longer than reading the labels of a million images.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


def to_numpy(column: pa.ChunkedArray, null: int) -> NDArray[Any]:
    """An integer column as an array of its own dtype, shape (rows,); nulls become `null`.

    An unsigned column with nulls comes as int64, which holds a negative `null`.
    """
    if column.null_count:
        column = pc.fill_null(column.cast(pa.int64()), null)
    parts = [
        np.frombuffer(chunk.buffers()[1], str(chunk.type))[chunk.offset :][: len(chunk)]
        for chunk in column.chunks
        if len(chunk)
    ]
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def from_numpy(values: NDArray[np.int64], missing: NDArray[np.bool_] | None = None) -> pa.Array:
    """An array as an int64 column of the same shape, null where `missing` is true."""
    valid = None
    if missing is not None and missing.any():
        valid = pa.py_buffer(np.packbits(~missing, bitorder="little"))
    return pa.Array.from_buffers(pa.int64(), len(values), [valid, pa.py_buffer(values)])
