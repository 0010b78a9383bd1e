"""Datasets that the `datasets` library holds as a source: save_to_disk folders, and what the
Hub module loads. Images are read as stored, never decoded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from synfill.data.card import local_origin
from synfill.data.features import kind_of, with_one_image
from synfill.data.names import sort_splits
from synfill.data.rows import as_image_structs, clip_rows
from synfill.data.source import Column, Origin, image_column
from synfill.data.stamp import look_at, look_below
from synfill.errors import RunError, UsageError

if TYPE_CHECKING:
    import datasets


class ArrowSource:
    """Datasets of the `datasets` library, by split (see `synfill.data.source.Source`).

    Args:
        origin: What a card says of it.
        held: The dataset of each split.
        image: The image column that the user named; None to find it.
        folders: Where image files that are stored by path alone may be.

    Raises:
        UsageError: There are no rows, or the image column isn't clear.
        RunError: The splits have different columns.
    """

    def __init__(
        self,
        origin: Origin,
        held: Mapping[str, datasets.Dataset],
        *,
        image: str | None,
        folders: Sequence[Path],
    ) -> None:
        if not any(len(part) for part in held.values()):
            raise UsageError(
                f"'{origin.location}' has no rows.", "Give a dataset with at least one image."
            )
        self.origin = origin
        self.splits = sort_splits(held)
        self.notes: tuple[str, ...] = ()
        first = held[self.splits[0]].features
        for split in self.splits:
            if held[split].features != first:
                raise RunError(
                    f"The splits '{self.splits[0]}' and '{split}' of {origin.location} have "
                    "different columns.",
                    "All splits of a dataset need the same columns and classes.",
                )
        self.columns = with_one_image(
            tuple(Column(name, kind_of(f), f) for name, f in first.to_dict().items()), image
        )
        self._image = image_column(self.columns).name
        self._folders = folders
        # The arrow format hands out what is stored: no image is decoded.
        self._held = {split: part.with_format("arrow") for split, part in held.items()}

    def count(self, split: str) -> int:
        """How many rows a split has."""
        return len(self._held[split])

    def read_column(self, split: str, name: str) -> pa.ChunkedArray:
        """One column of all rows of a split."""
        table: pa.Table = self._held[split].select_columns([name])[:]
        return table.column(name)

    def iter_rows(
        self, split: str, rows: NDArray[np.int64] | None = None, batch_rows: int = 256
    ) -> Iterator[tuple[NDArray[np.int64], pa.RecordBatch]]:
        """Whole rows in ascending order."""
        held = self._held[split]
        wanted = clip_rows(rows, 0, len(held))
        for first in range(0, len(wanted), batch_rows):
            numbers = wanted[first : first + batch_rows]
            table: pa.Table = held[numbers.tolist()].combine_chunks()
            arrays = [column.chunk(0) for column in table.columns]
            position = table.column_names.index(self._image)
            arrays[position] = as_image_structs(arrays[position], self._folders, self._folders)
            yield numbers, pa.record_batch(arrays, names=table.column_names)

    def describe_row(self, split: str, row: int) -> str:
        """The split, the row, and the image's own name where the row holds one."""
        where = f"{split} row {row}"
        stored = self._held[split].select_columns([self._image])[row].column(0)[0].as_py()
        name = stored.get("path") if isinstance(stored, dict) else None
        return f"{where} ({name})" if name else where

    def image_bytes(self, split: str) -> int:
        """Bytes of a split's images; of files that are stored by path alone by their sizes."""
        held = int(self._held[split].data.column(self._image).nbytes)
        if not (self.origin.is_local and self._names_files()):
            return held
        rows = sum(self.count(split) for split in self.splits)
        around = look_below(self._folders[0]).bytes
        return max(held, around * self.count(split) // max(1, rows))

    def stamp(self) -> str | None:
        """Of the files; None where images lie apart in the caches of `datasets`."""
        if self.origin.is_local:
            return look_below(self._folders[0]).stamp
        files = [file["filename"] for part in self._held.values() for file in part.cache_files]
        return look_at(Path(), files).stamp if files and not self._names_files() else None

    def _names_files(self) -> bool:
        """Whether an image may be stored as the path of a file only."""
        columns = [part.data.column(self._image) for part in self._held.values()]
        return any(
            pa.types.is_struct(chunk.type) and pc.struct_field(chunk, "bytes").null_count > 0
            for column in columns
            for chunk in column.chunks
        )


def open_saved(spec: str, path: Path, *, image: str | None) -> ArrowSource:
    """Open a folder that `save_to_disk` wrote: a Dataset (it is "train") or a DatasetDict.

    Args:
        spec: What the user gave.
        path: The folder.
        image: The image column; None to find it.

    Raises:
        UsageError: There are no rows, or the image column isn't clear.
        RunError: The folder is damaged.
    """
    import datasets

    try:
        loaded = datasets.load_from_disk(str(path))
    except (OSError, ValueError, LookupError, TypeError, pa.ArrowException) as error:
        raise RunError(
            f"'{spec}' can't be read as a saved dataset: {error}",
            "The folder is incomplete or damaged: save the dataset again.",
        ) from error
    held = loaded if isinstance(loaded, datasets.DatasetDict) else {"train": loaded}
    return ArrowSource(local_origin(spec, path), held, image=image, folders=[path])
