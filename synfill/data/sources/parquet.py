"""Parquet files as a source. Reads footers when opened, single columns for labels, and row
groups one at a time for images; never a whole split.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from synfill.data.card import card_features, card_folder, local_origin, read_card
from synfill.data.features import (
    columns_of,
    image_columns,
    schema_features,
    with_one_image,
)
from synfill.data.rows import clip_rows, with_images
from synfill.data.source import Given, Origin, SourceKind, image_column
from synfill.data.sources.configs import choose_config, split_files
from synfill.data.sources.shards import (
    Files,
    LocalFiles,
    Shard,
    common_schema,
    read_footers,
)
from synfill.data.tree import Tree, read_tree
from synfill.errors import RunError, UsageError
from synfill.files import format_bytes
from synfill.reading import regular
from synfill.records import JsonObject

_LARGEST_COLUMN = 2 << 30
"""Bytes of text of a column in one file."""


class ParquetSource:
    """A Parquet file or a folder of them (see `synfill.data.source.Source`), wherever they lie.

    Args:
        origin: What a card says of it.
        files: Where they lie. Their footers are read.
        names: Their paths.
        card: The header of the card beside them.
        given: What the user gave: which configuration, and which image column.
        notes: What is known of the card already.

    Raises:
        UsageError: The configuration or the image column isn't clear, or there are no rows.
        RunError: A file isn't Parquet, is cut off, or differs from the others.
    """

    def __init__(
        self,
        origin: Origin,
        files: Files,
        names: Sequence[str],
        card: JsonObject,
        given: Given,
        notes: tuple[str, ...] = (),
    ) -> None:
        spec, config = origin.location, given.config
        divided, passed = split_files(spec, names, card, config)
        self._shards = {split: read_footers(files, part) for split, part in divided.items()}
        shards = [shard for part in self._shards.values() for shard in part]
        self._schema, noted = common_schema(shards, files)
        if not any(shard.rows for shard in shards):
            raise UsageError(f"'{spec}' has no rows.", "Give a dataset with at least one image.")
        chosen = choose_config(spec, card, config)
        # What the files say of themselves comes first.
        features = card_features(card, chosen["config_name"] if chosen else None) | noted
        self.origin = origin
        self.splits = tuple(divided)
        self.columns = with_one_image(columns_of(self._schema, features, spec), given.image)
        self.notes = (*notes, *passed)
        self._files = files
        self._image = image_column(self.columns).name
        self._images = image_columns(self.columns)
        self._named: tuple[str, int, pa.ChunkedArray] | None = None

    def count(self, split: str) -> int:
        """How many rows a split has."""
        return sum(shard.rows for shard in self._shards[split])

    def read_column(self, split: str, name: str) -> pa.ChunkedArray:
        """One column of all rows of a split; no other column is read from disk."""
        target = self._schema.field(name).type
        is_text = pa.types.is_string(target) or pa.types.is_large_string(target)

        def read(shard: Shard) -> list[pa.Array]:
            # Text as it is stored: a word that stands in a million rows stands in the file once.
            with self._open(shard, [name] if is_text else None) as file:
                column = file.read(columns=[name], use_threads=False).column(name)
                # A file may hold text that isn't UTF-8, which nothing later expects.
                column.validate(full=True)
                _check_size(column, f"The column '{name}' of {shard.name}")
                return list(column.cast(target).chunks)

        with ThreadPoolExecutor(self._files.threads) as pool:
            parts = list(pool.map(read, self._shards[split]))
        return pa.chunked_array([chunk for part in parts for chunk in part], type=target)

    def iter_rows(
        self, split: str, rows: NDArray[np.int64] | None = None, batch_rows: int = 256
    ) -> Iterator[tuple[NDArray[np.int64], pa.RecordBatch]]:
        """Whole rows in ascending order; row groups without a wanted row are not read."""
        root = self._files.folder()
        for shard in self._shards[split]:
            wanted = clip_rows(rows, shard.first_row, shard.rows)
            if not len(wanted):
                continue
            folders = ((root / shard.name).parent, root)
            with self._files.reading(shard.name), shard.open(root / shard.name) as file:
                for first, batch in shard.batches(file, wanted, batch_rows):
                    kept = clip_rows(wanted, first, batch.num_rows)
                    if len(kept) < batch.num_rows:
                        batch = batch.take(pa.array(kept - first))
                    if len(kept):
                        plain = self._conform(batch)
                        yield from with_images(kept, plain, self._images, folders, (root,))

    def describe_row(self, split: str, row: int) -> str:
        """The file, the row within it, and the image's own name where the row holds one."""
        shard = next(s for s in reversed(self._shards[split]) if s.first_row <= row)
        where = f"{shard.name} row {row - shard.first_row}"
        stored = self._schema.field(self._image).type
        if not pa.types.is_struct(stored) or "path" not in {field.name for field in stored}:
            return where
        group, first, _ = next(found for found in shard.groups() if row < found[1] + found[2])
        if self._named is None or self._named[:2] != (shard.name, group):
            # Kept for the next one: of a thousand bad rows each would read them all again.
            self._named = (shard.name, group, self._read_paths(shard, group))
        name = (self._named[2][row - first].as_py() or {}).get("path")
        return f"{where} ({name})" if name else where

    def _read_paths(self, shard: Shard, group: int) -> pa.ChunkedArray:
        with self._open(shard) as file:
            # The member alone: reading the bytes beside it could take seconds.
            columns = [f"{self._image}.path"]
            return file.read_row_group(group, columns=columns, use_threads=False).column(0)

    def image_bytes(self, split: str) -> int:
        """Bytes of a split's images, by the footers; of files beside these by their sizes."""
        held: int = sum(
            part.total_uncompressed_size
            for shard in self._shards[split]
            for part in shard.parts(self._image)
        )
        if not self._names_files():
            return held
        around = self._files.look_around()
        rows = sum(self.count(split) for split in self.splits)
        beside: int = around.bytes * self.count(split) // max(1, rows) if around else 0
        return max(held, beside)

    def stamp(self) -> str | None:
        """Of the files, and of those beside them where only paths of images are stored."""
        own = self._files.stamp([shard.name for part in self._shards.values() for shard in part])
        if own is None or not self._names_files():
            return own
        around = self._files.look_around()
        return f"{own} {around.stamp}" if around is not None and around.stamp else None

    def _names_files(self) -> bool:
        """Whether an image may be stored as the path of a file only."""
        stored = self._schema.field(self._image).type
        return pa.types.is_struct(stored) and any(
            not (part.statistics and part.statistics.has_null_count) or part.statistics.null_count
            for shards in self._shards.values()
            for shard in shards
            for part in shard.parts(self._image)
            if part.path_in_schema.endswith(".bytes") and part.num_values
        )

    @contextmanager
    def _open(
        self, shard: Shard, dictionaries: list[str] | None = None
    ) -> Iterator[pq.ParquetFile]:
        with (
            self._files.reading(shard.name),
            shard.open(self._files.open(shard.name), dictionaries) as file,
        ):
            yield file

    def _conform(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        arrays = []
        for field in self._schema:
            array = batch.column(field.name)
            array.validate(full=True)
            arrays.append(array if array.type == field.type else array.cast(field.type))
        return pa.record_batch(arrays, schema=self._schema)


def parquet_files(tree: Tree) -> list[str]:
    """The Parquet files of a folder that are data: paths below its root.

    An ImageFolder's metadata.parquet and unfinished files (`_...`) are none.
    """
    return parquet_names(tree.files(".parquet"))


def parquet_names(names: Iterable[str]) -> list[str]:
    """Those of some paths that are Parquet files with data."""
    return [
        name
        for name in names
        if name.lower().endswith(".parquet")
        and not (last := name.rpartition("/")[2]).startswith("_")
        and last != "metadata.parquet"
    ]


class ParquetFiles(SourceKind):
    """A Parquet file or a folder of them."""

    name: Literal["parquet"] = "parquet"

    def is_meant(self, given: Given) -> bool:
        """By the files' names; tables of labels beside image files are none of ours."""
        path, tree = given.path, given.tree
        if path is None:
            return False
        if tree is None:
            is_ours = path.suffix.lower() == ".parquet" and given.is_as_found
            return is_ours and not (_names_files(path) and read_tree(path.parent).holds_images)
        files = parquet_files(tree)
        return bool(files) and not (
            tree.holds_images and all(_names_files(path / name) for name in files)
        )

    def open(self, given: Given) -> ParquetSource:
        """Read the footers; the folder's card says which files are of which split."""
        path, tree = given.path, given.tree
        assert path is not None
        card, notes = read_card(card_folder(path))
        origin = local_origin(given.spec, path, card)
        files = LocalFiles(path if tree is not None else path.parent, tree is not None)
        names = parquet_files(tree) if tree is not None else [path.name]
        if tree is None:
            # A lone file is all that the user asked for, so the card of its folder has no say.
            card = {}
        return ParquetSource(origin, files, names, card, given, notes)


def _names_files(path: Path) -> bool:
    """Whether a Parquet file holds no images, but columns that may name their files."""
    try:
        # Arrow would wait for somebody to write to a pipe.
        schema = pq.read_schema(regular(path))
        kinds = {column.kind for column in columns_of(schema, schema_features(schema))}
    except (pa.ArrowException, OSError, ValueError):
        return False  # whoever reads it as data says what is wrong
    return "image" not in kinds and bool(kinds & {"string", "int"})


def _check_size(column: pa.ChunkedArray, where: str) -> None:
    """Refuse text that fills the memory once it is spelt out for every row."""
    size = 0
    for chunk in column.chunks if pa.types.is_dictionary(column.type) else []:
        lengths = pc.binary_length(chunk.dictionary).cast(pa.int64())
        size += pc.sum(lengths.take(chunk.indices)).as_py() or 0
    if size > _LARGEST_COLUMN:
        raise RunError(
            f"{where} holds {format_bytes(size)} of text, which is too much for a column of "
            "classes or groups.",
            "Name others with --label and --group, or shorten its values.",
        )
