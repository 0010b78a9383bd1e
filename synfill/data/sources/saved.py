"""Arrow tables as a source: save_to_disk folders, and what the Hub module loads through the
`datasets` library. Images are read as stored, never decoded.

A saved folder is read without that library: its records are a stranger's, and it would follow
them anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from synfill.data.card import card_folder, local_origin, read_card
from synfill.data.features import (
    columns_of,
    image_columns,
    plain_schema,
    schema_features,
    with_one_image,
)
from synfill.data.rows import clip_rows, with_images
from synfill.data.source import Given, Origin, SourceKind, image_column
from synfill.data.stamp import look_below
from synfill.errors import RunError, UsageError
from synfill.names import check_path, check_split, sort_splits
from synfill.reading import parse_json, read_regular, regular
from synfill.records import JsonObject

_AGAIN = "The folder is incomplete or damaged: save the dataset again."


class ArrowSource:
    """Arrow tables, by split (see `synfill.data.source.Source`).

    Args:
        origin: What a card says of it.
        held: The table of each split.
        features: What is noted of the columns, beside what the tables' own schemas note.
        image: The image column that the user named; None to find it.
        folders: Where image files that are stored by path alone may be.
        notes: What a user should know of how it was read.

    Raises:
        UsageError: There are no rows, or the image column isn't clear.
        RunError: The splits have different columns, a split's name can't be one, or a table is
            damaged.
    """

    def __init__(
        self,
        origin: Origin,
        held: Mapping[str, pa.Table],
        features: Mapping[str, JsonObject],
        *,
        image: str | None,
        folders: Sequence[Path],
        notes: tuple[str, ...] = (),
    ) -> None:
        if not any(len(part) for part in held.values()):
            raise UsageError(
                f"'{origin.location}' has no rows.", "Give a dataset with at least one image."
            )
        self.origin = origin
        self.splits = sort_splits(check_split(name, origin.location) for name in held)
        self.notes = notes
        self._held = {split: _plain(part, origin.location) for split, part in held.items()}
        columns = {
            split: columns_of(
                self._held[split].schema,
                {**features, **schema_features(held[split].schema)},
                origin.location,
            )
            for split in self.splits
        }
        first = self.splits[0]
        for split in self.splits:
            if (
                self._held[split].schema != self._held[first].schema
                or columns[split] != columns[first]
            ):
                raise RunError(
                    f"The splits '{first}' and '{split}' of {origin.location} have different "
                    "columns.",
                    "All splits of a dataset need the same columns and classes.",
                )
        self.columns = with_one_image(columns[first], image)
        self._image = image_column(self.columns).name
        self._images = image_columns(self.columns)
        self._folders = folders

    def count(self, split: str) -> int:
        """How many rows a split has."""
        return len(self._held[split])

    def read_column(self, split: str, name: str) -> pa.ChunkedArray:
        """One column of all rows of a split."""
        return self._held[split].column(name)

    def iter_rows(
        self, split: str, rows: NDArray[np.int64] | None = None, batch_rows: int = 256
    ) -> Iterator[tuple[NDArray[np.int64], pa.RecordBatch]]:
        """Whole rows in ascending order."""
        first = 0
        for batch in self._held[split].to_batches(max_chunksize=batch_rows):
            wanted = clip_rows(rows, first, len(batch))
            part = batch
            if len(wanted) < len(batch):
                part = batch.take(pa.array(wanted - first))
            if len(wanted):
                yield from with_images(wanted, part, self._images, self._folders, self._folders)
            first += len(batch)

    def describe_row(self, split: str, row: int) -> str:
        """The split, the row, and the image's own name where the row holds one."""
        where = f"{split} row {row}"
        stored = self._held[split].column(self._image).slice(row, 1)
        if not pa.types.is_struct(stored.type) or stored.type.get_field_index("path") < 0:
            return where
        name = pc.struct_field(stored, "path").to_pylist()[0]
        return f"{where} ({name})" if name else where

    def image_bytes(self, split: str) -> int:
        """Bytes of a split's images; of files that are stored by path alone by their sizes."""
        held = int(self._held[split].column(self._image).nbytes)
        if not (self.origin.is_local and self._names_files()):
            return held
        rows = sum(self.count(split) for split in self.splits)
        around = look_below(self._folders[0]).bytes
        return max(held, around * self.count(split) // max(1, rows))

    def stamp(self) -> str | None:
        """Of the files; None for those in the caches of `datasets`, which tables don't name."""
        return look_below(self._folders[0]).stamp if self.origin.is_local else None

    def _names_files(self) -> bool:
        """Whether an image may be stored as the path of a file only."""
        columns = [part.column(self._image) for part in self._held.values()]
        return any(
            pa.types.is_struct(chunk.type) and pc.struct_field(chunk, "bytes").null_count > 0
            for column in columns
            for chunk in column.chunks
        )


def _plain(table: pa.Table, where: str) -> pa.Table:
    """A table with dictionaries decoded; all its values were looked at, so that none misleads."""
    try:
        # Offsets that lead beyond the file would end the process when they are followed.
        table.validate(full=True)
        return table.cast(plain_schema(table.schema, where))
    except pa.ArrowException as error:
        raise RunError(f"'{where}' can't be read as a saved dataset: {error}", _AGAIN) from None


class SavedDataset(SourceKind):
    """A folder that `save_to_disk` wrote."""

    name: Literal["saved"] = "saved"

    def is_meant(self, given: Given) -> bool:
        """By the records that `datasets` writes."""
        path = given.path
        return path is not None and (
            (path / "dataset_dict.json").is_file()
            or ((path / "dataset_info.json").is_file() and (path / "state.json").is_file())
        )

    def open(self, given: Given) -> ArrowSource:
        """Open a Dataset (it is "train") or a DatasetDict.

        Raises:
            UsageError: There are no rows, or the image column isn't clear.
            RunError: The folder is damaged, or names what can't be a split or a file of it.
        """
        given.refuse_config()
        spec, path = given.spec, given.path
        assert path is not None
        record = path / "dataset_dict.json"
        parts = {"train": path}
        if record.is_file():
            splits = _read_record(spec, record).get("splits")
            if not isinstance(splits, list) or not splits:
                raise _damaged(spec, f"{record} names no splits")
            parts = {split: path / split for split in [check_split(s, str(record)) for s in splits]}
        held = {split: _read_table(spec, folder) for split, folder in parts.items()}
        features: dict[str, JsonObject] = {}
        for folder in parts.values():
            noted = _read_record(spec, folder / "dataset_info.json").get("features")
            features |= noted if isinstance(noted, dict) else {}
        card, notes = read_card(card_folder(path))
        origin = local_origin(spec, path, card)
        return ArrowSource(origin, held, features, image=given.image, folders=[path], notes=notes)


def _read_table(spec: str, folder: Path) -> pa.Table:
    record = folder / "state.json"
    listed = _read_record(spec, record).get("_data_files")
    if not isinstance(listed, list) or not listed:
        raise _damaged(spec, f"{record} names no files with data")
    tables = []
    for entry in listed:
        name: Any = entry.get("filename") if isinstance(entry, dict) else None
        file = folder / check_path(name, f"{record}, _data_files")
        try:
            with pa.memory_map(str(regular(file))) as mapped:
                tables.append(pa.ipc.open_stream(mapped).read_all())
        except (OSError, pa.ArrowException) as error:
            raise _damaged(spec, f"{file}: {error}") from error
    try:
        return pa.concat_tables(tables)
    except pa.ArrowException as error:
        raise _damaged(spec, f"{record}: {error}") from error


def _read_record(spec: str, path: Path) -> JsonObject:
    try:
        content = parse_json(read_regular(path))
    except (OSError, ValueError) as error:
        raise _damaged(spec, f"{path}: {error}") from error
    if not isinstance(content, dict):
        raise _damaged(spec, f"{path} is no JSON object")
    return content


def _damaged(spec: str, reason: str) -> RunError:
    return RunError(f"'{spec}' can't be read as a saved dataset: {reason}", _AGAIN)
