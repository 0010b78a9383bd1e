"""A folder of image files as a source: class folders, metadata files, or both.

Lists names only: no image is opened before its bytes are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from synfill.data.arrow import from_numpy
from synfill.data.card import card_folder, local_origin, read_card
from synfill.data.features import columns_of, schema_features, with_one_image
from synfill.data.labels import CONVENTIONAL_LABELS
from synfill.data.rows import BATCH_BYTES, clip_rows, read_file
from synfill.data.source import IMAGE_TYPE, Column, Origin
from synfill.data.sources.imagefolder.layout import Files, Layout, lay_out
from synfill.data.sources.imagefolder.levels import are_doubtful, shorten
from synfill.data.sources.imagefolder.metadata import (
    Metadata,
    NoFileColumn,
    has_metadata,
    read_metadata,
)
from synfill.data.sources.imagefolder.onehot import could_be_class
from synfill.data.sources.imagefolder.tables import (
    DamagedTable,
    Labels,
    TableFile,
    agrees,
    read_labels,
    table_files,
)
from synfill.data.sources.imagefolder.tree import Tree
from synfill.data.stamp import look_at
from synfill.errors import UsageError
from synfill.names import canonical_split, check_classes, readable, sort_splits
from synfill.records import AS_FOUND, FolderOptions, JsonObject
from synfill.wording import counted

_IMAGE = "image"
_LABEL = "label"
_SPLIT_COLUMN = "split"
_SPLIT_COLUMNS = (_SPLIT_COLUMN, "set", "subset", "data set", "data_set", "dataset", "partition")
_FEWEST_CLASSES = 2
_SPLIT_NUMBERS = {0: "train", 1: "validation", 2: "test"}


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
            if len(data) == batch_rows or size >= BATCH_BYTES or position == len(wanted):
                yield wanted[first:position], _batch(held, wanted[first:position], data)
                data, first, size = [], position, 0

    def describe_row(self, split: str, row: int) -> str:
        """The image's path below the root."""
        return readable(self._splits[split].paths[row])

    def image_bytes(self, split: str) -> int:
        """Bytes of a split's files."""
        return look_at(self._root, self._splits[split].paths).bytes

    def stamp(self) -> str | None:
        """Of the images' files; None if one was changed just now."""
        paths = (path for split in self._splits.values() for path in split.paths)
        return look_at(self._root, paths).stamp


def open_imagefolder(
    spec: str,
    tree: Tree,
    *,
    image: str | None,
    options: FolderOptions = AS_FOUND,
    tables: Sequence[TableFile] | None = None,
) -> ImageFolderSource:
    """Open a folder of image files.

    Classes are what the folders name (see `synfill.data.levels`): of plain layouts the
    first-level folders (of each split, where there are split folders); images in deeper folders
    count to them, images beside them have no class. Metadata files add columns; where one of these
    is a class column, the folders' names are not used. Where folders name no classes, a table
    beside the images does (see `synfill.data.tables`).

    Args:
        spec: What the user gave.
        tree: What is in the folder.
        image: The image column that the user named, if any; it is always "image" here.
        options: What the user said of how to read it.
        tables: The tables of labels that the user asked for; None to look for some.

    Raises:
        UsageError: The folder is empty, or holds no images, or could be read in several ways.
        RunError: A metadata file or table is damaged, or names files outside its folder.
    """
    layout = lay_out(spec, tree, options.layout)
    notes = [*tree.notes, *layout.notes]
    metadata, names, divided = _find_metadata(spec, tree, layout, tables, notes)
    if metadata is None:
        labels = _find_labels(spec, tree, layout, options, tables, notes)
        if labels is None and layout.unclear is not None:
            raise layout.unclear
        if labels is not None:
            names = []
            divided, metadata = _divide_by_tables(layout, labels, notes)
        else:
            notes += layout.class_notes
    if layout.told and (names or metadata is None):
        # Where a table names the classes, the folders don't.
        notes.append(layout.told)
    names = list(check_classes(names, f"The folders of {spec}"))
    if len(names) == 1:
        notes.append(f"There is only one class, '{names[0]}'.")
    splits = {split: _tabulate(files, names, metadata) for split, files in divided.items()}
    schema = next(iter(splits.values())).table.schema
    features = schema_features(schema)
    if names:
        features[_LABEL] = {"names": names, "_type": "ClassLabel"}
    columns = (Column(_IMAGE, "image", {"_type": "Image"}), *columns_of(schema, features, spec))
    card, told = read_card(card_folder(tree.root))
    origin = local_origin(spec, Path(spec).expanduser(), card)
    notes += told
    return ImageFolderSource(origin, tree, splits, with_one_image(columns, image), tuple(notes))


def _find_metadata(
    spec: str,
    tree: Tree,
    layout: Layout,
    tables: Sequence[TableFile] | None,
    notes: list[str],
) -> tuple[Metadata | None, list[str], dict[str, Files]]:
    """What metadata files say, if there are any; the class folders that still count beside it,
    and the files of each split.
    """
    names = layout.class_names
    if tables is not None or not has_metadata(tree, layout.folders):
        return None, names, layout.splits
    known = {path for files in layout.splits.values() for path in files.paths}
    try:
        metadata = read_metadata(tree, layout.folders, known)
    except NoFileColumn as error:
        # One that calls its files as other tables do, without extension, say.
        labels, reasons = read_labels(
            table_files(tree, tree), layout, file_column=None, forced=False
        )
        if labels is None:
            raise error
        notes += [*labels.notes, *reasons]
        divided, metadata = _divide_by_tables(layout, labels, notes)
        return metadata, [], divided
    if _IMAGE in metadata.table.column_names:
        raise UsageError(
            f"The metadata of '{spec}' has a column '{_IMAGE}', which is the name that the "
            "images themselves get.",
            "Rename it.",
        )
    if not CONVENTIONAL_LABELS.isdisjoint(metadata.table.column_names):
        names = []
    elif layout.unclear is not None:
        notes.append("Several levels of folders could name classes: --layout says which does.")
    notes += _add_absent(layout, metadata, known, set(names))
    divided, metadata = _divide_by_column(layout, metadata, (_SPLIT_COLUMN,))
    notes += _unnamed(divided, metadata)
    return metadata, names, divided


def _find_labels(
    spec: str,
    tree: Tree,
    layout: Layout,
    options: FolderOptions,
    tables: Sequence[TableFile] | None,
    notes: list[str],
) -> Labels | None:
    """What tables beside the images say, if it is they that tell the classes."""
    names = layout.class_names
    if tables is None and (len(names) > 1 and not are_doubtful(names)):
        beside = [file.shown for file in table_files(tree, tree, layout.folders)]
        if beside:
            notes.append(
                f"{shorten(beside)} {'is' if len(beside) == 1 else 'are'} not read: the folders "
                "name the classes. Give a table itself as SOURCE to take them from it."
            )
        return None
    if tables is None and options.layout is not None and names:
        return None
    found = tables if tables is not None else table_files(tree, tree)
    try:
        labels, reasons = read_labels(
            found, layout, file_column=options.file_column, forced=tables is not None
        )
    except DamagedTable as error:
        if tables is not None or len(names) < _FEWEST_CLASSES:
            raise
        # The folders name classes that are likely enough.
        labels, reasons = None, (error.message,)
    if labels is None:
        notes += reasons
        return None
    if tables is None and len(names) > 1:
        table = labels.metadata.table
        if agrees(labels, layout) or not any(could_be_class(table, n) for n in table.column_names):
            return None
        if all(name.isdecimal() for name in names):
            raise UsageError(
                f"The classes of '{spec}' could be its folders ({shorten(names)}), or a column of "
                f"a table ({shorten(table.column_names)}).",
                f"Choose the folders with --layout '{layout.rules[0].pattern()}', or give the "
                "table as SOURCE.",
            )
    notes += [*labels.notes, *reasons]
    return labels


def _divide_by_tables(
    layout: Layout, labels: Labels, notes: list[str]
) -> tuple[dict[str, Files], Metadata]:
    """Divide the images by the tables that name them, their column of splits, or their folders."""
    divided: dict[str, Files] = {}
    out = 0
    for split, held in layout.splits.items():
        for path in held.paths:
            if labels.is_whole and path not in labels.metadata.rows:
                out += 1
                continue
            files = divided.setdefault(labels.splits.get(path, split), Files())
            files.paths.append(path)
            files.classes.append(None)
    if out:
        notes.append(
            f"{counted(out, 'image')} beside those that the table names "
            f"{'is' if out == 1 else 'are'} left out."
        )
    ordered = {split: divided[split] for split in sort_splits(divided)}
    metadata = labels.metadata
    if not labels.splits:
        told = replace(layout, splits=ordered)
        ordered, metadata = _divide_by_column(told, metadata, _SPLIT_COLUMNS)
    for split, files in ordered.items():
        if unnamed := sum(path not in metadata.rows for path in files.paths):
            are = "is" if unnamed == 1 else "are"
            notes.append(
                f"{counted(unnamed, 'image')} of the split {split} {are} in no table: no class."
            )
    return ordered, metadata


def _add_absent(layout: Layout, metadata: Metadata, known: set[str], names: set[str]) -> list[str]:
    """Add a row for each file that only the metadata knows: it is reported, not dropped."""
    passed = 0
    for path in metadata.rows:
        if path in known:
            continue
        place = layout.place(path)
        if place is None:
            passed += 1
            continue
        files = layout.splits.setdefault(place[0], Files())
        files.paths.append(path)
        files.classes.append(place[1] if place[1] in names else None)
    if not passed:
        return []
    number = counted(passed, "file")
    return [f"The metadata names {number} in none of the split folders: passed over."]


def _divide_by_column(
    layout: Layout, metadata: Metadata, columns: Sequence[str]
) -> tuple[dict[str, Files], Metadata]:
    """Divide the files by the metadata's first column of these, where that tells splits."""
    table = metadata.table
    column = next((name for name in table.column_names if name.lower() in columns), None)
    if layout.has_split_folders or column is None:
        return layout.splits, metadata
    told = [_told_split(value) for value in table.column(column).to_pylist()]
    if None in told:
        return layout.splits, metadata
    divided: dict[str, Files] = {}
    for split, held in layout.splits.items():
        for path, label in zip(held.paths, held.classes, strict=True):
            row = metadata.rows.get(path)
            files = divided.setdefault((told[row] if row is not None else None) or split, Files())
            files.paths.append(path)
            files.classes.append(label)
    ordered = {split: divided[split] for split in sort_splits(divided)}
    return ordered, Metadata(table.drop_columns([column]), metadata.rows)


def _told_split(value: JsonObject | str | int | None) -> str | None:
    if isinstance(value, str):
        return canonical_split(value)
    return _SPLIT_NUMBERS.get(value) if isinstance(value, int) else None


def _unnamed(divided: dict[str, Files], metadata: Metadata) -> list[str]:
    paths = (path for files in divided.values() for path in files.paths)
    unnamed = sum(1 for path in paths if path not in metadata.rows)
    are = "is" if unnamed == 1 else "are"
    return [f"{counted(unnamed, 'image')} {are} not in the metadata."] if unnamed else []


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
    paths = pa.array([readable(split.paths[row]) for row in rows], pa.string())
    images = pa.StructArray.from_arrays(
        [pa.array(data, pa.binary()), paths], fields=list(IMAGE_TYPE)
    )
    arrays = {_IMAGE: images}
    for name, column in zip(split.table.column_names, split.table.columns, strict=True):
        arrays[name] = pc.take(column, pa.array(rows)).combine_chunks()
    return pa.record_batch(list(arrays.values()), names=list(arrays))
