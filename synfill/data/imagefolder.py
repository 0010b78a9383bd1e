"""A folder of image files as a source: class folders, metadata files, or both.

Lists names only: no image is opened before its bytes are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from synfill.data.arrow import from_numpy
from synfill.data.card import local_origin
from synfill.data.features import columns_of, schema_features, with_one_image
from synfill.data.labels import CONVENTIONAL_LABELS
from synfill.data.layout import Files, Layout, lay_out
from synfill.data.metadata import Metadata, has_metadata, read_metadata
from synfill.data.names import canonical_split, sort_splits
from synfill.data.rows import clip_rows, read_file
from synfill.data.source import IMAGE_TYPE, Column, Origin
from synfill.data.stamp import look_at
from synfill.data.tree import Tree
from synfill.errors import UsageError
from synfill.records import JsonObject

_IMAGE = "image"
_LABEL = "label"
_SPLIT_COLUMN = "split"
_SPLIT_NUMBERS = {0: "train", 1: "validation", 2: "test"}
_BATCH_BYTES = 256 << 20


@dataclass(frozen=True, eq=False)
class _Split:
    """The paths of a split's images below the root, and the other columns of the same rows."""

    paths: list[str]
    table: pa.Table


class ImageFolderSource:
    """A folder of image files (see `synfill.data.source.Source`)."""

    def __init__(
        self,
        origin: Origin,
        tree: Tree,
        splits: dict[str, _Split],
        columns: tuple[Column, ...],
        notes: tuple[str, ...],
    ) -> None:
        self.origin = origin
        self.splits = tuple(splits)
        self.columns = columns
        self.notes = notes
        self._root = tree.root
        self._splits = splits

    def count(self, split: str) -> int:
        """How many images a split has."""
        return len(self._splits[split].paths)

    def read_column(self, split: str, name: str) -> pa.ChunkedArray:
        """A column of the metadata, or the label that the folders give."""
        return self._splits[split].table.column(name)

    def iter_rows(
        self, split: str, rows: NDArray[np.int64] | None = None, batch_rows: int = 256
    ) -> Iterator[tuple[NDArray[np.int64], pa.RecordBatch]]:
        """Whole rows in ascending order; a batch also ends at 256 MiB of images."""
        held = self._splits[split]
        wanted = clip_rows(rows, 0, len(held.paths))
        data: list[bytes | None] = []
        first = size = 0
        for position, row in enumerate(wanted, start=1):
            data.append(read_file(self._root / held.paths[row]))
            size += len(data[-1] or b"")
            if len(data) == batch_rows or size >= _BATCH_BYTES or position == len(wanted):
                yield wanted[first:position], _batch(held, wanted[first:position], data)
                data, first, size = [], position, 0

    def describe_row(self, split: str, row: int) -> str:
        """The image's path below the root."""
        return self._splits[split].paths[row]

    def image_bytes(self, split: str) -> int:
        """Bytes of a split's files."""
        return look_at(self._root, self._splits[split].paths).bytes

    def stamp(self) -> str | None:
        """Of the images' files; None if one was changed just now."""
        paths = (path for split in self._splits.values() for path in split.paths)
        return look_at(self._root, paths).stamp


def open_imagefolder(spec: str, tree: Tree, *, image: str | None) -> ImageFolderSource:
    """Open a folder of image files.

    Classes are the first-level folders (of each split, where there are split folders); images
    in deeper folders count to them, images beside them have no class. Metadata files add
    columns; where one of these is a class column, the folders' names are not used.

    Args:
        spec: What the user gave.
        tree: What is in the folder.
        image: The image column that the user named, if any; it is always "image" here.

    Raises:
        UsageError: The folder is empty, or holds no images.
        RunError: A metadata file is damaged or names files outside its folder.
    """
    layout = lay_out(spec, tree)
    names = layout.class_names
    divided = layout.splits
    notes = [*tree.notes, *layout.notes]
    metadata = None
    folders = ["", *layout.folders]
    if has_metadata(tree, folders):
        known = {path for files in divided.values() for path in files.paths}
        metadata = read_metadata(tree, folders, known)
        if _IMAGE in metadata.table.column_names:
            raise UsageError(
                f"The metadata of '{spec}' has a column '{_IMAGE}', which is the name that the "
                "images themselves get.",
                "Rename it.",
            )
        if not CONVENTIONAL_LABELS.isdisjoint(metadata.table.column_names):
            names = []
        notes += _add_absent(layout, metadata, known, set(names))
        divided, metadata = _divide_by_column(layout, metadata)
        notes += _unnamed(divided, metadata)
    splits = {split: _tabulate(files, names, metadata) for split, files in divided.items()}
    schema = next(iter(splits.values())).table.schema
    features = schema_features(schema)
    if names:
        features[_LABEL] = {"names": names, "_type": "ClassLabel"}
    columns = (Column(_IMAGE, "image", {"_type": "Image"}), *columns_of(schema, features))
    origin = local_origin(spec, tree.root)
    return ImageFolderSource(origin, tree, splits, with_one_image(columns, image), tuple(notes))


def _add_absent(layout: Layout, metadata: Metadata, known: set[str], names: set[str]) -> list[str]:
    """Add a row for each file that only the metadata knows: it is reported, not dropped."""
    passed = 0
    for path in metadata.rows:
        if path in known:
            continue
        folder, _, below = ("", "", path) if "" in layout.folders else path.partition("/")
        split = layout.folders.get(folder)
        if split is None:
            passed += 1
            continue
        label = below.partition("/")[0]
        files = layout.splits.setdefault(split, Files())
        files.paths.append(path)
        files.classes.append(label if label in names else None)
    if not passed:
        return []
    return [f"The metadata names {passed} files in none of the split folders: passed over."]


def _divide_by_column(layout: Layout, metadata: Metadata) -> tuple[dict[str, Files], Metadata]:
    """Divide the files by the metadata's column `split`, where that tells splits."""
    table = metadata.table
    if "" not in layout.folders or _SPLIT_COLUMN not in table.column_names:
        return layout.splits, metadata
    told = [_told_split(value) for value in table.column(_SPLIT_COLUMN).to_pylist()]
    if None in told:
        return layout.splits, metadata
    divided: dict[str, Files] = {}
    whole = layout.splits["train"]
    for path, label in zip(whole.paths, whole.classes, strict=True):
        row = metadata.rows.get(path)
        split = "train" if row is None else told[row]
        files = divided.setdefault(split or "train", Files())
        files.paths.append(path)
        files.classes.append(label)
    ordered = {split: divided[split] for split in sort_splits(divided)}
    return ordered, Metadata(table.drop_columns([_SPLIT_COLUMN]), metadata.rows)


def _told_split(value: JsonObject | str | int | None) -> str | None:
    if isinstance(value, str):
        return canonical_split(value)
    return _SPLIT_NUMBERS.get(value) if isinstance(value, int) else None


def _unnamed(divided: dict[str, Files], metadata: Metadata) -> list[str]:
    paths = (path for files in divided.values() for path in files.paths)
    unnamed = sum(1 for path in paths if path not in metadata.rows)
    return [f"{unnamed} images are not in the metadata."] if unnamed else []


def _tabulate(files: Files, names: list[str], metadata: Metadata | None) -> _Split:
    """The columns of a split's rows: the folders' label, then what the metadata says."""
    columns: dict[str, pa.ChunkedArray | pa.Array] = {}
    if names:
        codes: dict[str | None, int] = {name: code for code, name in enumerate(names)}
        labels = np.fromiter((codes.get(c, -1) for c in files.classes), np.int64, len(files.paths))
        columns[_LABEL] = from_numpy(labels, labels < 0)
    if metadata is None:
        return _Split(files.paths, pa.table(columns))
    rows = np.array([metadata.rows.get(path, -1) for path in files.paths], dtype=np.int64)
    taken = metadata.table.take(from_numpy(rows, rows < 0))
    columns |= dict(zip(taken.column_names, taken.columns, strict=True))
    schema = pa.schema(
        [pa.field(name, column.type) for name, column in columns.items()],
        metadata=metadata.table.schema.metadata,
    )
    return _Split(files.paths, pa.table(columns, schema=schema))


def _batch(split: _Split, rows: NDArray[np.int64], data: list[bytes | None]) -> pa.RecordBatch:
    paths = pa.array([split.paths[row] for row in rows], pa.string())
    images = pa.StructArray.from_arrays(
        [pa.array(data, pa.binary()), paths], fields=list(IMAGE_TYPE)
    )
    arrays = {_IMAGE: images}
    for name, column in zip(split.table.column_names, split.table.columns, strict=True):
        arrays[name] = pc.take(column, pa.array(rows)).combine_chunks()
    return pa.record_batch(list(arrays.values()), names=list(arrays))
