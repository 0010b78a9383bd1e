"""A folder of image files, or a table of them, as a source: class folders, metadata files, or both.

Read from top to bottom: the tree, what its levels name, what tables say, the splits' columns.
Lists names only: no image is opened before its bytes are asked for.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from synfill.data.arrow import from_numpy
from synfill.data.card import card_folder, local_origin, read_card
from synfill.data.features import columns_of, schema_features, with_one_image
from synfill.data.labels import CONVENTIONAL_LABELS
from synfill.data.listed import IMAGE, Listed
from synfill.data.source import Column, Given, SourceKind
from synfill.data.sources.imagefolder.layout import Files, Layout, lay_out
from synfill.data.sources.imagefolder.levels import are_doubtful, shorten
from synfill.data.sources.imagefolder.metadata import (
    METADATA_NAMES,
    NoFileColumn,
    has_metadata,
    read_metadata,
)
from synfill.data.sources.imagefolder.onehot import could_be_class
from synfill.data.sources.imagefolder.source import ImageFolderSource
from synfill.data.sources.imagefolder.tablefiles import TABLE_SUFFIXES, Labels
from synfill.data.sources.imagefolder.tables import (
    DamagedTable,
    TableFile,
    agrees,
    read_labels,
    table_files,
)
from synfill.data.tree import Tree, read_tree
from synfill.errors import UsageError
from synfill.names import canonical_split, check_classes, sort_splits
from synfill.wording import counted

_LABEL = "label"
_SPLIT_COLUMN = "split"
_SPLIT_COLUMNS = (_SPLIT_COLUMN, "set", "subset", "data set", "data_set", "dataset", "partition")
_FEWEST_CLASSES = 2
_SPLIT_NUMBERS = {0: "train", 1: "validation", 2: "test"}


class ImageFolder(SourceKind):
    """A folder of image files."""

    name: Literal["imagefolder"] = "imagefolder"
    layout: str | None = Field(
        None,
        description='what each level of folders below the source names: "class", "split", "*" for '
        'neither, or the name of the one folder that is meant, with "/" between',
    )
    image_root: str | None = Field(
        None, description="the folder that the file names in a table of labels start from"
    )
    file_column: str | None = Field(
        None, description="the column of a table of labels that names the image files"
    )

    def is_meant(self, given: Given) -> bool:
        """Every folder, and every file that may be a table of image files and labels."""
        path = given.path
        return path is not None and (path.is_dir() or path.suffix.lower() in TABLE_SUFFIXES)

    def open(self, given: Given) -> ImageFolderSource:
        """Find splits, classes and images, then what tables say of the images.

        Classes are what the folders name (see `levels`): of plain layouts the first-level folders
        (of each split, where there are split folders); images in deeper folders count to them,
        images beside them have no class. Metadata files add columns; where one of these is a class
        column, the folders' names are not used. Where folders name no classes, a table beside the
        images does (see `tables`).

        Raises:
            UsageError: The folder is empty, or holds no images, or could be read in several ways.
            RunError: A metadata file or table is damaged, or names files outside its folder.
        """
        given.refuse_config()
        spec = given.spec
        tree, tables = self._find_tables(given)
        layout = lay_out(spec, tree, self.layout)
        notes = [*tree.notes, *layout.notes]
        names, splits = layout.class_names, layout.splits
        labels = tabled = None
        if tables is None and has_metadata(tree, layout.folders):
            try:
                names, splits, labels = _read_metadata(spec, tree, layout, notes)
            except NoFileColumn:
                # One that calls its files as other tables do, without extension, say.
                found = table_files(tree, tree)
                tabled, reasons = read_labels(found, layout, file_column=None, forced=False)
                if tabled is None:
                    raise
                notes += [*tabled.notes, *reasons]
        else:
            tabled = self._read_tables(spec, tree, layout, tables, notes)
            if tabled is None and layout.unclear is not None:
                raise layout.unclear
            if tabled is None:
                notes += layout.class_notes
        if tabled is not None:
            names = []
            splits, labels = _divide_tabled(layout, tabled, notes)
        if layout.summary and (names or labels is None):
            # Where a table names the classes, the folders don't.
            notes.append(layout.summary)
        names = list(check_classes(names, f"The folders of {spec}"))
        if len(names) == 1:
            notes.append(f"There is only one class, '{names[0]}'.")
        held = {split: _tabulate(files, names, labels) for split, files in splits.items()}
        schema = next(iter(held.values())).table.schema
        features = schema_features(schema)
        if names:
            features[_LABEL] = {"names": names, "_type": "ClassLabel"}
        columns = (Column(IMAGE, "image", {"_type": "Image"}), *columns_of(schema, features, spec))
        card, passed = read_card(card_folder(tree.root))
        return ImageFolderSource(
            local_origin(spec, Path(spec).expanduser(), card),
            tree.root,
            held,
            with_one_image(columns, given.image),
            (*notes, *passed),
        )

    def _find_tables(self, given: Given) -> tuple[Tree, list[TableFile] | None]:
        """The folder of the images, and the tables that the user asked for; None for none."""
        path, tree = given.path, given.tree
        assert path is not None
        if tree is not None:
            images = tree
            if self.image_root is not None:
                images = read_tree(_image_root(self.image_root, path))
            elif self.file_column is None:
                return images, None
            return images, table_files(tree, images)
        if path.name in METADATA_NAMES and given.is_as_found:
            return read_tree(path.parent), None
        root = path.parent
        where: str | None = ""
        if self.image_root is not None:
            root = _image_root(self.image_root, path.parent)
            # Paths in it start from the images' root, unless it lies below that.
            inside = os.path.relpath(os.path.realpath(path.parent), os.path.realpath(root))
            where = None if inside.startswith("..") else inside.replace(os.sep, "/").strip(".")
        images = read_tree(root)
        if not images.holds_images:
            raise UsageError(
                f"There are no images in {root}, where the file names in '{given.spec}' start "
                "from.",
                "Say where they are with --image-root.",
            )
        return images, [TableFile(path, path.name, where)]

    def _read_tables(
        self,
        spec: str,
        tree: Tree,
        layout: Layout,
        tables: Sequence[TableFile] | None,
        notes: list[str],
    ) -> Labels | None:
        """What tables beside the images say, if it is they that name the classes."""
        names = layout.class_names
        if tables is None and len(names) > 1 and not are_doubtful(names):
            beside = [file.shown for file in table_files(tree, tree, layout.folders)]
            if beside:
                notes.append(
                    f"{shorten(beside)} {'is' if len(beside) == 1 else 'are'} not read: the "
                    "folders name the classes. Give a table itself as SOURCE to take them from it."
                )
            return None
        if tables is None and self.layout is not None and names:
            return None
        found = tables if tables is not None else table_files(tree, tree)
        try:
            labels, reasons = read_labels(
                found, layout, file_column=self.file_column, forced=tables is not None
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
            columns = labels.table.column_names
            could_be = any(could_be_class(labels.table, name) for name in columns)
            if not could_be or agrees(labels, layout):
                return None
            if all(name.isdecimal() for name in names):
                raise UsageError(
                    f"The classes of '{spec}' could be its folders ({shorten(names)}), or a "
                    f"column of a table ({shorten(columns)}).",
                    f"Choose the folders with --layout '{layout.rules[0].pattern()}', or give the "
                    "table as SOURCE.",
                )
        notes += [*labels.notes, *reasons]
        return labels


def _image_root(given: str, beside: Path) -> Path:
    """The folder that `--image-root` names: from the current folder, else from the source's."""
    path = Path(given).expanduser()
    for root in (path, beside / path):
        if root.is_dir():
            return root
    raise UsageError(
        f"There is no folder '{given}' (--image-root), neither here nor in {beside}.",
        "Name the folder that the table's file names start from.",
    )


def _read_metadata(
    spec: str, tree: Tree, layout: Layout, notes: list[str]
) -> tuple[list[str], dict[str, Files], Labels]:
    """What metadata files say; before it the class folders that still count beside it, and the
    files of each split.
    """
    labels = read_metadata(tree, layout.folders, layout.files)
    if IMAGE in labels.table.column_names:
        raise UsageError(
            f"The metadata of '{spec}' has a column '{IMAGE}', which is the name that the "
            "images themselves get.",
            "Rename it.",
        )
    names = layout.class_names
    if not CONVENTIONAL_LABELS.isdisjoint(labels.table.column_names):
        names = []
    elif layout.unclear is not None:
        notes.append("Several levels of folders could name classes: --layout says which does.")
    notes += _add_absent(layout, labels, set(names))
    splits, labels = _divide(layout, labels, (_SPLIT_COLUMN,))
    if unnamed := sum(_count_unnamed(splits, labels).values()):
        are = "is" if unnamed == 1 else "are"
        notes.append(f"{counted(unnamed, 'image')} {are} not in the metadata.")
    return names, splits, labels


def _add_absent(layout: Layout, labels: Labels, names: set[str]) -> list[str]:
    """Add a row for each file that only the metadata knows: it is reported, not dropped."""
    known = layout.files
    passed = 0
    for path in labels.rows:
        if path in known:
            continue
        place = layout.place(path)
        if place is None:
            passed += 1
            continue
        files = layout.splits.setdefault(place[0], {})
        files[path] = place[1] if place[1] in names else None
    number = counted(passed, "file")
    what = f"The metadata names {number} in none of the split folders: passed over."
    return [what] if passed else []


def _divide_tabled(
    layout: Layout, labels: Labels, notes: list[str]
) -> tuple[dict[str, Files], Labels]:
    splits, divided = _divide(layout, labels, _SPLIT_COLUMNS)
    if labels.is_whole and (out := sum(_count_unnamed(layout.splits, labels).values())):
        beside = f"{counted(out, 'image')} beside those that the table names"
        notes.append(f"{beside} {'is' if out == 1 else 'are'} left out.")
    notes += [
        f"{counted(unnamed, 'image')} of the split {split} "
        f"{'is' if unnamed == 1 else 'are'} in no table: no class."
        for split, unnamed in _count_unnamed(splits, labels).items()
    ]
    return splits, divided


def _divide(
    layout: Layout, labels: Labels, columns: Sequence[str]
) -> tuple[dict[str, Files], Labels]:
    """Each split's images: by the name of their table, by the tables' first column of these where
    that names splits, or by their folder. Without those in no table where that is all there is.
    """
    split_by_path = dict(labels.splits)
    column = next((n for n in labels.table.column_names if n.lower() in columns), None)
    if column is not None and not split_by_path and not layout.has_split_folders:
        values = [_split_of(value) for value in labels.table.column(column).to_pylist()]
        if None not in values:
            split_by_path = {path: str(values[row]) for path, row in labels.rows.items()}
            labels = replace(labels, table=labels.table.drop_columns([column]))
    if not split_by_path and not labels.is_whole:
        return layout.splits, labels
    divided: dict[str, Files] = {}
    for split, held in layout.splits.items():
        for path, label in held.items():
            if path in labels.rows or not labels.is_whole:
                divided.setdefault(split_by_path.get(path, split), {})[path] = label
    return {split: divided[split] for split in sort_splits(divided)}, labels


def _split_of(value: object) -> str | None:
    if isinstance(value, str):
        return canonical_split(value)
    return _SPLIT_NUMBERS.get(value) if isinstance(value, int) else None


def _count_unnamed(divided: Mapping[str, Files], labels: Labels) -> dict[str, int]:
    """How many images of a split no table names; only splits that have some."""
    unnamed = {
        split: sum(path not in labels.rows for path in files) for split, files in divided.items()
    }
    return {split: count for split, count in unnamed.items() if count}


def _tabulate(files: Files, names: list[str], labels: Labels | None) -> Listed:
    """The columns of a split's rows: the folders' label, then what metadata or tables say."""
    columns: dict[str, pa.ChunkedArray | pa.Array] = {}
    if names:
        code_of: dict[str | None, int] = {name: code for code, name in enumerate(names)}
        codes = np.fromiter((code_of.get(c, -1) for c in files.values()), np.int64)
        columns[_LABEL] = from_numpy(codes, codes < 0)
    if labels is None:
        return Listed(list(files), pa.table(columns))
    rows = np.array([labels.rows.get(path, -1) for path in files], dtype=np.int64)
    taken = labels.table.take(from_numpy(rows, rows < 0))
    columns |= dict(zip(taken.column_names, taken.columns, strict=True))
    schema = pa.schema(
        [pa.field(name, column.type) for name, column in columns.items()],
        metadata=labels.table.schema.metadata,
    )
    return Listed(list(files), pa.table(columns, schema=schema))
