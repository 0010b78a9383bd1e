"""Tables with a column of zeros and ones for each class, as one column of classes. Pure."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from synfill.data.labels import CONVENTIONAL_LABELS, may_be_label
from synfill.data.sources.imagefolder.levels import shorten

_LABEL = "label"
_FEWEST = 2


def join_classes(table: pa.Table) -> tuple[pa.Table, tuple[str, ...]]:
    """Make a class column of a one-hot table; and columns of -1 and 1 true and false.

    It is one where no other column could be the class and each row has a one in exactly one of
    the columns of zeros and ones. A row with nulls alone has no class.

    Args:
        table: The columns beside the files' names.

    Returns:
        The table, and notes on what was done.
    """
    table = _signs_as_truth(table)
    names = [field.name for field in table.schema if _is_binary(table.column(field.name))]
    others = [name for name in table.column_names if name not in names]
    if len(names) < _FEWEST or any(could_be_class(table, name) for name in others):
        return table, ()
    if not CONVENTIONAL_LABELS.isdisjoint(name.lower() for name in table.column_names):
        return table, ()
    ones = np.stack([_as_numbers(table.column(name)) for name in names])
    known = ~np.isnan(ones).all(axis=0)
    sums = np.nansum(ones, axis=0)
    if not known.any():
        return table, ()
    if wrong := int(np.count_nonzero(known & (sums != 1))):
        return table, (
            f"{wrong:,} rows have no one, or several, in {shorten(names)}: not one class an "
            "image. Each of them can be the class by itself (--label).",
        )
    codes = np.where(known, np.nan_to_num(ones).argmax(axis=0), -1)
    label = pa.array(codes.tolist(), pa.int64(), mask=~known)
    features = {_LABEL: {"names": names, "_type": "ClassLabel"}}
    kept = table.drop_columns(names).append_column(_LABEL, label)
    noted = json.dumps({"info": {"features": features}})
    return kept.replace_schema_metadata({"huggingface": noted}), (
        f"The classes are the columns with a one: {shorten(names)}.",
    )


def _signs_as_truth(table: pa.Table) -> pa.Table:
    for number, field in enumerate(table.schema):
        column = table.column(number)
        if pa.types.is_integer(field.type) and set(pc.unique(column).to_pylist()) == {-1, 1}:
            table = table.set_column(number, field.name, pc.equal(column, 1))
    return table


def _is_binary(column: pa.ChunkedArray) -> bool:
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return False
    values = set(pc.unique(column).to_pylist()) - {None}
    return bool(values) and values <= {0, 1}


def _as_numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    held = [np.nan if value is None else float(value) for value in column.to_pylist()]
    return np.array(held, dtype=np.float64)


def could_be_class(table: pa.Table, name: str) -> bool:
    """Whether a column that isn't binary could hold the class: its values repeat."""
    column = table.column(name)
    if pa.types.is_floating(column.type) or pa.types.is_null(column.type):
        return False
    if pa.types.is_nested(column.type) or not may_be_label(name):
        return False
    present = len(column) - column.null_count
    return bool(present > pc.count_distinct(column, mode="only_valid").as_py())
