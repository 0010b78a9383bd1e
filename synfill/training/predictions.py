"""predictions.parquet: what each classifier said of each image, by name, to look into.

A seed's part is written when the seed is finished; the whole is put together of the parts, so that
seeds that are added later find the earlier ones there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from synfill.files import atomic_write
from synfill.records import Cell

_COLUMNS = ("split", "row", "seed", "label", "predicted", "probabilities")


@dataclass(frozen=True, eq=False)
class Predictions:
    """What one classifier said of the images of one split.

    Attributes:
        split: The split's name: "test" or "validation".
        seed: The classifier's seed.
        rows: int64, shape (images,): the images' rows in their dataset's split.
        labels: int64, shape (images,): the true classes.
        cells: int64, shape (images,): the true cells; -1 where a group is missing.
        probabilities: float32, shape (images, classes), each in 0..1.
    """

    split: str
    seed: int
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    cells: NDArray[np.int64]
    probabilities: NDArray[np.float32]


def write_predictions(
    path: Path,
    parts: Sequence[Predictions],
    classes: Sequence[str],
    groups: Sequence[str],
    cells: Sequence[Cell],
) -> None:
    """Write the predictions of one seed.

    Args:
        path: The file.
        parts: Its splits; at least one.
        classes: The class names, in the order of the probabilities.
        groups: The group columns.
        cells: The cells that the parts count.

    Raises:
        RunError: The disk is full.
    """
    tables = [_table(part, classes, groups, cells) for part in parts]
    with atomic_write(path) as file, _writer(file, tables[0].schema) as writer:
        for table in tables:
            writer.write_table(table)


def merge_predictions(path: Path, parts: Sequence[Path]) -> None:
    """Put predictions.parquet together of the files of all finished seeds; at least one.

    Raises:
        RunError: The disk is full.
    """
    with atomic_write(path) as file, _writer(file, pq.read_schema(parts[0])) as writer:
        for part in parts:
            writer.write_table(pq.read_table(part))


def _table(
    part: Predictions, classes: Sequence[str], groups: Sequence[str], cells: Sequence[Cell]
) -> pa.Table:
    count = len(part.labels)
    names = pa.array(list(classes), pa.string())
    flat = pa.array(np.ascontiguousarray(part.probabilities, np.float32).reshape(-1))
    offsets = pa.array(np.arange(count + 1, dtype=np.int32) * np.int32(len(classes)))
    columns = {
        "split": pa.array([part.split] * count, pa.string()),
        "row": pa.array(part.rows, pa.int64()),
        "seed": pa.array([part.seed] * count, pa.int64()),
        "label": names.take(pa.array(part.labels)),
        "predicted": names.take(pa.array(part.probabilities.argmax(axis=1))),
        "probabilities": pa.ListArray.from_arrays(offsets, flat),
    }
    codes = pa.array(part.cells, mask=part.cells < 0)
    for group in groups:
        values = pa.array([dict(cell.groups)[group] for cell in cells], pa.string())
        columns[f"group_{group}" if group in _COLUMNS else group] = values.take(codes)
    return pa.table(columns)


def _writer(file: object, schema: pa.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(file, schema, compression="zstd")
