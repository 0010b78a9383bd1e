"""The files that a source of Parquet files is made of: where they lie, and what they hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from synfill.data.features import plain_schema, schema_features
from synfill.data.rows import BATCH_BYTES, clip_rows
from synfill.data.stamp import FileStates, look_at, look_below
from synfill.errors import RunError
from synfill.reading import regular
from synfill.records import JsonObject


class Files(Protocol):
    """Where the files of a source lie."""

    @property
    def threads(self) -> int:
        """How many files are best read at a time when only a column is wanted."""

    def open(self, name: str) -> Path | IO[bytes]:
        """A file, to read its footer or a column."""

    def footer(self, name: str) -> pq.FileMetaData:
        """A file's footer."""

    def folder(self) -> Path:
        """A folder that holds all the files, to read whole rows."""

    def reading(self, name: str) -> AbstractContextManager[None]:
        """Turns what reading a file raises into a message."""

    def stamp(self, names: Sequence[str]) -> str | None:
        """The same as before only if these files are; None where that can't be known."""

    def look_around(self) -> FileStates | None:
        """Of all files beside them that a path in them may name; None where that can't be known."""
        ...


@dataclass(frozen=True)
class LocalFiles:
    """Files below a local folder.

    Attributes:
        root: The folder.
        is_all: Whether all of the folder is the dataset, not just a file in it.
        threads: How many files are read at a time.
    """

    root: Path
    is_all: bool = True
    threads: int = 1

    def open(self, name: str) -> Path:
        """The file's path. Raises NotRegular for a pipe or a device: Arrow would wait."""
        return regular(self.root / name)

    def footer(self, name: str) -> pq.FileMetaData:
        """The file's footer."""
        return pq.read_metadata(self.open(name))

    def folder(self) -> Path:
        """The folder."""
        return self.root

    def reading(self, name: str) -> AbstractContextManager[None]:
        """Turns what reading a file raises into a message."""
        return reading_parquet(str(self.root / name))

    def stamp(self, names: Sequence[str]) -> str | None:
        """Of the files' sizes and times; None if one was changed just now."""
        return look_at(self.root, names).stamp

    def look_around(self) -> FileStates | None:
        """All files below the folder; None where only one file in it is the dataset."""
        return look_below(self.root) if self.is_all else None


@dataclass(frozen=True)
class Shard:
    """One file of a split.

    Attributes:
        name: Its path below the root.
        footer: Its footer.
        first_row: The number of its first row in the split.
    """

    name: str
    footer: pq.FileMetaData
    first_row: int

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return int(self.footer.num_rows)

    def groups(self) -> Iterator[tuple[int, int, int]]:
        """Each row group, its first row's number in the split, and how many rows it has."""
        first = self.first_row
        for group in range(self.footer.num_row_groups):
            size = self.footer.row_group(group).num_rows
            yield group, first, size
            first += size

    def parts(self, column: str) -> Iterator[pq.ColumnChunkMetaData]:
        """What the footer says of a column, for each row group and member."""
        paths = [self.footer.schema.column(k).path for k in range(self.footer.num_columns)]
        wanted = [k for k, path in enumerate(paths) if f"{path}.".startswith(f"{column}.")]
        for group in range(self.footer.num_row_groups):
            for index in wanted:
                yield self.footer.row_group(group).column(index)

    def open(self, file: Path | IO[bytes], dictionaries: list[str] | None = None) -> pq.ParquetFile:
        """The file itself; text columns in `dictionaries` come as they are stored."""
        # Reading ahead is done by Arrow's own threads, and one of them that lets go of a remote
        # file while Python is ending aborts the process.
        return pq.ParquetFile(
            file,
            metadata=self.footer,
            pre_buffer=False,
            page_checksum_verification=True,
            read_dictionary=dictionaries,
        )

    def batches(
        self, file: pq.ParquetFile, wanted: NDArray[np.int64], batch_rows: int
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The batches of all row groups that hold a wanted row, each with its first row."""
        for group, first, size in self.groups():
            if len(clip_rows(wanted, first, size)):
                # Of large images fewer at a time.
                average = self.footer.row_group(group).total_byte_size // max(size, 1)
                most = max(1, min(batch_rows, BATCH_BYTES // max(average, 1)))
                for batch in file.iter_batches(most, row_groups=[group]):
                    yield first, batch
                    first += batch.num_rows


def read_footers(files: Files, names: Sequence[str]) -> list[Shard]:
    """The files of a split, in order; several are read at a time where that is faster."""

    def read(name: str) -> pq.FileMetaData:
        with files.reading(name):
            return files.footer(name)

    with ThreadPoolExecutor(files.threads) as pool:
        footers = list(pool.map(read, names))
    shards: list[Shard] = []
    first_row = 0
    for name, footer in zip(names, footers, strict=True):
        shards.append(Shard(name, footer, first_row))
        first_row += footer.num_rows
    return shards


def common_schema(shards: Sequence[Shard], files: Files) -> tuple[pa.Schema, dict[str, JsonObject]]:
    """The schema that all files share, dictionaries decoded, and the features they note."""
    first, *others = shards
    schema, features = _read_schema(first, files)
    for shard in others:
        other, noted = _read_schema(shard, files)
        difference = _difference(schema, other) or _feature_difference(features, noted)
        if difference:
            raise RunError(
                f"{shard.name} doesn't fit {first.name}: {difference}.",
                "All files of a dataset need the same columns. Give the one file that is meant, "
                "or move the others out of the folder.",
            )
        schema = pa.schema(
            other.field(field.name) if pa.types.is_null(field.type) else field for field in schema
        )
        features = features or noted
    return schema, features


def _read_schema(shard: Shard, files: Files) -> tuple[pa.Schema, dict[str, JsonObject]]:
    with files.reading(shard.name):
        schema = shard.footer.schema.to_arrow_schema()
    return plain_schema(schema, shard.name), schema_features(schema)


def _difference(schema: pa.Schema, other: pa.Schema) -> str:
    if missing := sorted(set(schema.names) - set(other.names)):
        return f"it has no column '{missing[0]}'"
    if extra := sorted(set(other.names) - set(schema.names)):
        return f"it has a column '{extra[0]}' more"
    for field in schema:
        there = other.field(field.name).type
        if there != field.type and not pa.types.is_null(there) and not pa.types.is_null(field.type):
            return f"its column '{field.name}' is {there}, not {field.type}"
    return ""


def _feature_difference(features: dict[str, JsonObject], noted: dict[str, JsonObject]) -> str:
    """ClassLabels that name other classes would give the same numbers another meaning."""
    for name in features.keys() & noted.keys():
        if features[name] != noted[name]:
            return f"its column '{name}' is noted as another type or with other classes"
    return ""


@contextmanager
def reading_parquet(where: str) -> Iterator[None]:
    """Turn what reading a damaged file raises into a message that names it."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RunError(
            f"{where} can't be read as Parquet: {reason}",
            "The file is damaged, cut off or something else: get it again, or remove it.",
        ) from error
