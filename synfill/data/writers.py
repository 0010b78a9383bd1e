"""Tables -> files of a dataset: Parquet shards, or an ImageFolder. Knows nothing of plans."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from synfill.data.images import BadImage, format_of
from synfill.data.provenance import NO_SEED, NO_VALUE, Provenance
from synfill.errors import UsageError
from synfill.files import safe_name
from synfill.reading import within

FILE_BYTES = 500_000_000
GROUP_ROWS = 1000
GROUP_BYTES = 64_000_000
# What pandas, and so `datasets`, takes for no value in a CSV file.
_READ_AS_MISSING = frozenset(
    ["", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
     "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"]
)  # fmt: skip


@dataclass(frozen=True)
class Written:
    """What was written of one split."""

    rows: int
    bytes: int
    files: int


class DatasetWriter(Protocol):
    """Takes tables split by split and writes them below one folder."""

    def add(self, split: str, table: pa.Table) -> None:
        """Append rows to a split."""

    def close(self) -> dict[str, Written]:
        """Finish all files; what was written, by split."""
        ...


class ParquetWriter:
    """Writes `data/SPLIT-00000-of-00003.parquet`, as `datasets` and the Hub's viewer read it.

    Args:
        folder: The dataset's folder.
        schema: Of all tables.
        file_bytes: Bytes of image data after which a new file is begun.
    """

    def __init__(self, folder: Path, schema: pa.Schema, file_bytes: int = FILE_BYTES) -> None:
        self._folder = folder / "data"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._schema = schema
        self._file_bytes = file_bytes
        self._splits: dict[str, _ParquetSplit] = {}

    def add(self, split: str, table: pa.Table) -> None:
        """Append rows to a split."""
        if split not in self._splits:
            self._splits[split] = _ParquetSplit(self._folder, split, self._schema, self._file_bytes)
        self._splits[split].add(table)

    def close(self) -> dict[str, Written]:
        """Finish all files and give them their final names; what was written, by split."""
        return {split: part.close() for split, part in self._splits.items()}


class _ParquetSplit:
    def __init__(self, folder: Path, split: str, schema: pa.Schema, file_bytes: int) -> None:
        self._folder, self._split, self._schema = folder, split, schema
        self._file_bytes = file_bytes
        self._waiting: list[pa.Table] = []
        self._waiting_rows = self._waiting_bytes = 0
        self._files: list[Path] = []
        self._writer: pq.ParquetWriter | None = None
        self._written_bytes = 0
        self._rows = 0

    def add(self, table: pa.Table) -> None:
        start = 0
        while start < len(table):
            part = table.slice(start, GROUP_ROWS - self._waiting_rows)
            start += len(part)
            self._waiting.append(part)
            self._waiting_rows += len(part)
            self._waiting_bytes += part.nbytes
            if self._waiting_rows >= GROUP_ROWS or self._waiting_bytes >= GROUP_BYTES:
                self._write_group()

    def _write_group(self) -> None:
        if self._writer is None:
            path = within(self._folder, f"{self._split}-{len(self._files):05d}.parquet")
            self._files.append(path)
            # Content-defined chunks let the Hub store only what changed between two versions.
            self._writer = pq.ParquetWriter(
                path, self._schema, use_content_defined_chunking=True, write_page_index=True
            )
            self._written_bytes = 0
        self._writer.write_table(pa.concat_tables(self._waiting), row_group_size=1 << 30)
        self._rows += self._waiting_rows
        self._written_bytes += self._waiting_bytes
        self._waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0
        if self._written_bytes >= self._file_bytes:
            self._writer.close()
            self._writer = None

    def close(self) -> Written:
        if self._waiting or not self._files:
            self._waiting = self._waiting or [self._schema.empty_table()]
            self._write_group()
        if self._writer is not None:
            self._writer.close()
        size = 0
        for number, path in enumerate(self._files):
            final = f"{self._split}-{number:05d}-of-{len(self._files):05d}.parquet"
            size += path.stat().st_size
            os.replace(path, within(self._folder, final))
        return Written(self._rows, size, len(self._files))


def check_parquet(schema: pa.Schema) -> None:
    """Check that a dataset can be written as Parquet, before its images are made.

    Raises:
        UsageError: Parquet has no such type as one of the columns.
    """
    for field in schema:
        try:
            pq.ParquetWriter(io.BytesIO(), pa.schema([field])).close()
        except pa.ArrowException as error:
            raise UsageError(
                f"The column '{field.name}' can't be written as Parquet: {error}",
                "Remove it from the source.",
            ) from None


def check_imagefolder(
    schema: pa.Schema, image: str, labels: Sequence[str], splits: Sequence[str]
) -> None:
    """Check that a dataset can be written as an ImageFolder, before its images are made.

    Args:
        schema: Of the tables.
        image: The image column.
        labels: The class names.
        splits: The splits, which become folders.

    Raises:
        UsageError: A column or a class name can't stand in a CSV file, or a split's folder would
            be where something else is, or another split's folder.
    """
    taken = {"synfill": "synfill's own records", "readme.md": "the card"}
    for split in splits:
        there = taken.setdefault(split.casefold(), f"the split '{split}'")
        if there != f"the split '{split}'":
            raise UsageError(
                f"The folder of the split '{split}' would be where {there} is written.",
                "Use --format parquet.",
            )
    nested = [
        field.name
        for field in schema
        if field.name != image and (pa.types.is_nested(field.type) or _is_binary(field.type))
    ]
    if nested:
        raise UsageError(
            f"The column{'s' if len(nested) > 1 else ''} {', '.join(nested)} can't be written "
            "to the metadata.csv of an ImageFolder.",
            "Use --format parquet.",
        )
    if "file_name" in schema.names:
        raise UsageError(
            "The source has a column 'file_name', which an ImageFolder needs for itself.",
            "Use --format parquet.",
        )
    for label in labels:
        if label in _READ_AS_MISSING:
            raise UsageError(
                f"A class is called '{label}', which is read as a missing value from the "
                "metadata.csv of an ImageFolder.",
                "Use --format parquet.",
            )


class ImageFolderWriter:
    """Writes `SPLIT/CLASS/FILE` and a metadata.csv in every split.

    Class names become folder names through `safe_name`; metadata.csv has them as they are, as
    text: a ClassLabel's numbering is lost in this form. `datasets` guesses each column's type from
    the first rows of each split, and refuses splits that differ: so that it guesses alike, a
    missing whole number is -1 there, and a real image's prompt and generator are "(none)".

    Args:
        folder: The dataset's folder.
        schema: Of all tables; it must pass `check_imagefolder`.
        image: The image column.
        label: The class column.
        provenance: The names of the provenance columns.
        class_names: A ClassLabel column -> its names, in order.
    """

    def __init__(
        self,
        folder: Path,
        schema: pa.Schema,
        image: str,
        label: str,
        provenance: Provenance,
        class_names: dict[str, tuple[str, ...]],
    ) -> None:
        self._folder, self._image, self._label = folder, image, label
        self._synthetic, self._names = provenance.name("synthetic"), class_names
        self._columns = [name for name in schema.names if name != image]
        self._for_null: dict[str, Any] = {
            name: NO_SEED
            for name in self._columns
            if pa.types.is_integer(schema.field(name).type) and name not in class_names
        }
        self._for_null[provenance.name("prompt")] = NO_VALUE
        self._for_null[provenance.name("generator")] = NO_VALUE
        self._splits: dict[str, _ImageFolderSplit] = {}

    def add(self, split: str, table: pa.Table) -> None:
        """Append rows to a split."""
        if split not in self._splits:
            folder = within(self._folder, split)
            self._splits[split] = _ImageFolderSplit(folder, self._columns)
        part = self._splits[split]
        for row in _as_python(table).to_pylist():
            data = row.pop(self._image)["bytes"]
            for column, names in self._names.items():
                code = row[column]
                row[column] = names[code] if code is not None and 0 <= code < len(names) else None
            label = row[self._label]
            row = {n: self._for_null.get(n) if v is None else v for n, v in row.items()}
            part.add(data, row, label, bool(row[self._synthetic]))

    def close(self) -> dict[str, Written]:
        """Finish all files; what was written, by split."""
        return {split: part.close() for split, part in self._splits.items()}


def _as_python(table: pa.Table) -> pa.Table:
    """A table with those columns as text that hold times which Python has no objects for."""
    for number, field in enumerate(table.schema):
        if pa.types.is_temporal(field.type):
            try:
                table.column(number).to_pylist()
            except (ValueError, ArithmeticError):
                table = table.set_column(number, field.name, table.column(number).cast(pa.string()))
    return table


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


class _ImageFolderSplit:
    def __init__(self, folder: Path, columns: list[str]) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._file = (folder / "metadata.csv").open("w", newline="", encoding="utf-8")
        self._csv = csv.writer(self._file, lineterminator="\n")
        self._columns = columns
        self._csv.writerow(["file_name", *columns])
        self._folders: dict[object, str] = {}
        self._bytes = self._rows = 0

    def add(self, data: bytes, row: dict[str, Any], label: object, synthetic: bool) -> None:
        place = self._class_folder(label)
        kind = "synthetic" if synthetic else "real"
        name = f"{place}{kind}-{self._rows:07d}{_suffix(data)}"
        (self._folder / name).write_bytes(data)
        self._csv.writerow([name, *(row[column] for column in self._columns)])
        self._bytes += len(data)
        self._rows += 1

    def _class_folder(self, label: object) -> str:
        if label is None:
            return ""
        if label not in self._folders:
            name = safe_name(str(label))
            # Two classes that differ in case alone would share a folder on some file systems.
            if name.casefold() in {taken.casefold() for taken in self._folders.values()}:
                name = safe_name(f"{name}/{label!r}")
            within(self._folder, name).mkdir()
            self._folders[label] = name
        return f"{self._folders[label]}/"

    def close(self) -> Written:
        self._file.close()
        size = self._bytes + (self._folder / "metadata.csv").stat().st_size
        return Written(self._rows, size, self._rows + 1)


def _suffix(data: bytes) -> str:
    try:
        kind = format_of(data)
    except BadImage:
        kind = ""
    return {"JPEG": ".jpg", "TIFF": ".tif"}.get(kind, f".{kind.lower() or 'bin'}")
