"""predictions.parquet: what each classifier said of each image, by name, to look into.

A seed's part is written when the seed is finished; the whole is put together of the parts, so that
seeds that are added later find the earlier ones there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from synfill.errors import RunError
from synfill.files import atomic_write
from synfill.runs.training_folder import RESULT

# A group column of one of these names is written as group_NAME.
_COLUMNS = ("split", "row", "seed", "label", "predicted", "probabilities")


@dataclass(frozen=True, eq=False)
class Predictions:
    """What one classifier said of the images of one split.

    Attributes:
        rows: int64, shape (images,): the images' rows in their dataset's split.
        labels: int64, shape (images,): the true classes.
        probabilities: float32, shape (images, classes), each in 0..1.
        groups: int64, shape (images, group columns): which of the group's values; -1 where it is
            missing. They are written, and not read back.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    groups: NDArray[np.int64] | None = None


def write_predictions(
    path: Path,
    seed: int,
    parts: Mapping[str, Predictions],
    classes: Sequence[str],
    groups: Sequence[str],
    values: Sequence[Sequence[str]],
) -> None:
    """Write the predictions of one seed.

    Args:
        path: The file.
        seed: The seed.
        parts: Of each split ("test", "validation"); at least one.
        classes: The class names, in the order of the probabilities.
        groups: The group columns.
        values: Of each group column its values, which the parts count.

    Raises:
        RunError: The disk is full.
    """
    tables = [_table(split, part, seed, classes, groups, values) for split, part in parts.items()]
    with atomic_write(path) as file, _writer(file, tables[0].schema) as writer:
        for table in tables:
            writer.write_table(table)


def merge_predictions(path: Path, parts: Sequence[Path]) -> None:
    """Put predictions.parquet together of the files of all finished seeds; at least one.

    Raises:
        RunError: One of them is missing or damaged, or the disk is full.
    """
    with _reading(parts[0]):
        schema = pq.read_schema(parts[0])
    with atomic_write(path) as file, _writer(file, schema) as writer:
        for part in parts:
            with _reading(part):
                table = pq.read_table(part)
            writer.write_table(table)


def read_predictions(
    path: Path, seed: int, classes: Sequence[str], groups: Sequence[str], images: int
) -> dict[str, Predictions]:
    """What one seed's file says of each split, checked.

    Args:
        path: The file of that seed alone.
        seed: The seed.
        classes: The class names, in the order of the probabilities.
        groups: The group columns.
        images: How many it may be of: one of more rows isn't read.

    Raises:
        OSError: It isn't there, or is no regular file.
        ValueError: It is damaged, or of something else.
    """
    if path.exists() and not path.is_file():
        raise OSError("it is no regular file")
    try:
        if (rows := pq.read_metadata(path).num_rows) > images:
            raise ValueError(f"it has {rows:,} rows, and there are {images:,} images")
        _check_columns(pq.read_schema(path), groups)
        table = pq.read_table(path, columns=list(_COLUMNS))
    except pa.ArrowException as error:
        raise ValueError(str(error).splitlines()[0]) from None
    if any(column.null_count for column in table.columns):
        raise ValueError("some of its values are missing")
    if not table.num_rows or {*table["seed"].unique().to_pylist()} != {seed}:
        raise ValueError(f"it isn't of seed {seed}")
    held = table["probabilities"].combine_chunks()
    lengths = pc.unique(pc.list_value_length(held)).to_pylist()
    if lengths != [len(classes)]:
        raise ValueError(f"its probabilities aren't of {len(classes)} classes")
    flat = held.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    probabilities = flat.reshape(-1, len(classes))
    if not ((probabilities >= 0) & (probabilities <= 1.001)).all() or not np.allclose(
        probabilities.sum(axis=1), 1, atol=1e-2
    ):
        raise ValueError("its probabilities are none")
    codes = pc.index_in(table["label"], value_set=pa.array(list(classes), pa.string()))
    if codes.null_count:
        raise ValueError("its labels are of other classes")
    splits = np.array(table["split"].to_pylist())
    return {
        split: Predictions(
            table["row"].to_numpy()[splits == split],
            codes.to_numpy().astype(np.int64)[splits == split],
            probabilities[splits == split],
        )
        for split in dict.fromkeys(splits.tolist())
    }


def _check_columns(schema: pa.Schema, groups: Sequence[str]) -> None:
    """Whether they are those that are written: seeds are put together column by column.

    Raises:
        ValueError: They are others.
    """
    expected = _schema(groups)
    if schema.names != expected.names:
        raise ValueError(f"its columns are others than {', '.join(expected.names)}")
    # Compared by type: what a list's part is called is up to pyarrow's version.
    if wrong := [e.name for e, f in zip(expected, schema, strict=True) if e.type != f.type]:
        raise ValueError(f"its column {wrong[0]} is of another type")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise RunError(
            f"{path} can't be read: {str(error).rstrip('.')}.",
            f"Restore it, or delete {path.with_name(RESULT)}: the same command trains this seed "
            "again.",
        ) from None


def _table(
    split: str,
    part: Predictions,
    seed: int,
    classes: Sequence[str],
    groups: Sequence[str],
    values: Sequence[Sequence[str]],
) -> pa.Table:
    count = len(part.labels)
    names = pa.array(list(classes), pa.string())
    flat = pa.array(np.ascontiguousarray(part.probabilities, np.float32).reshape(-1))
    offsets = pa.array(np.arange(count + 1, dtype=np.int32) * np.int32(len(classes)))
    columns = {
        "split": pa.array([split] * count, pa.string()),
        "row": pa.array(part.rows, pa.int64()),
        "seed": pa.array([seed] * count, pa.int64()),
        "label": names.take(pa.array(part.labels)),
        "predicted": names.take(pa.array(part.probabilities.argmax(axis=1))),
        "probabilities": pa.ListArray.from_arrays(offsets, flat),
    }
    for at, name in enumerate(_group_columns(groups)):
        assert part.groups is not None
        codes = part.groups[:, at]
        columns[name] = pa.array(list(values[at]), pa.string()).take(
            pa.array(codes, mask=codes < 0)
        )
    return pa.table(columns, schema=_schema(groups))


def _schema(groups: Sequence[str]) -> pa.Schema:
    text, whole, shares = pa.string(), pa.int64(), pa.list_(pa.field("element", pa.float32()))
    fields = zip(_COLUMNS, (text, whole, whole, text, text, shares), strict=True)
    return pa.schema([*fields, *((name, text) for name in _group_columns(groups))])


def _group_columns(groups: Sequence[str]) -> list[str]:
    """What the group columns are called, beside the others."""
    taken = [*_COLUMNS]
    for group in groups:
        name = group
        while name in taken or (name != group and name in groups):
            name = f"group_{name}"
        taken.append(name)
    return taken[len(_COLUMNS) :]


def _writer(file: object, schema: pa.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(file, schema, compression="zstd")
