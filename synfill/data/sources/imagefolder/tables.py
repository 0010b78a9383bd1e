"""Tables of labels beside images (labels.csv, train.csv, ...): which of them are meant, and which
image each row is about.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from synfill.config.layouts import folder_parts
from synfill.data.sources.imagefolder.filenames import FileNames
from synfill.data.sources.imagefolder.layout import Layout
from synfill.data.sources.imagefolder.levels import shorten
from synfill.data.sources.imagefolder.onehot import join_classes
from synfill.data.sources.imagefolder.tablefiles import (
    TABLE_SUFFIXES,
    Labels,
    join_tables,
    read_table,
)
from synfill.data.tree import IMAGE_EXTENSIONS, Tree, join
from synfill.errors import RunError, UsageError
from synfill.names import natural_key, split_of_file
from synfill.wording import counted

_Find = Callable[[str], list[str]]
"""The files that a value may mean."""

_SAMPLE = 300
_MOST_TABLES = 50
_NO_TABLE = ("submission",)
"""Words in the names of files whose labels are made up, as on Kaggle."""


@dataclass(frozen=True)
class TableFile:
    """A file that may hold labels.

    Attributes:
        path: Where it is.
        shown: What messages call it.
        folder: Its folder below the images' root; None where it lies elsewhere.
    """

    path: Path
    shown: str
    folder: str | None

    @property
    def split(self) -> str | None:
        """The split that its name says."""
        return split_of_file(self.path.stem)


@dataclass(frozen=True, eq=False)
class _Read:
    """A table whose rows are about images: each row's file, None where there is none."""

    file: TableFile
    column: str
    table: pa.Table
    paths: list[str | None]

    @cached_property
    def found(self) -> set[str]:
        return {path for path in self.paths if path is not None}

    @property
    def has_labels(self) -> bool:
        return len(self.table.column_names) > 1


def table_files(tree: Tree, root: Tree, folders: Sequence[str] | None = None) -> list[TableFile]:
    """The files in a folder that may be tables of labels, nearest to its top first.

    Args:
        tree: Where they are.
        root: Where the images are.
        folders: The folders to look in; None for all.
    """
    found = []
    where = sorted(tree.folders if folders is None else folders)
    for folder in sorted(where, key=lambda name: len(folder_parts(name))):
        # There may be a million images beside them.
        names = [name for name in tree.folders.get(folder, ()) if _could_be_table(name.lower())]
        for path in (join(folder, name) for name in sorted(names, key=natural_key)):
            found.append(TableFile(tree.root / path, path, folder if tree is root else None))
    return found[:_MOST_TABLES]


def _could_be_table(name: str) -> bool:
    return name.endswith(TABLE_SUFFIXES) and not any(word in name for word in _NO_TABLE)


def read_labels(
    files: Sequence[TableFile], layout: Layout, *, file_column: str | None, forced: bool
) -> tuple[Labels | None, tuple[str, ...]]:
    """Read the tables that say something of the images.

    Args:
        files: Those that could.
        layout: The images.
        file_column: The column that names the files (`--file-column`); None to find it.
        forced: Whether the user asked for a table: what doesn't fit is an error then.

    Returns:
        What they say, None where none of them fits; and why the others don't.

    Raises:
        UsageError: Several tables are about the same images, or `forced` ones about none.
        RunError: A table is damaged, names an image twice, or most of its images aren't there.
    """
    if not files and not forced:
        return None, ()
    names = FileNames(layout.files)
    taken: list[_Read] = []
    reasons: list[str] = []
    errors: list[RunError] = []
    for file in files:
        try:
            read = _read(file, names, layout, file_column)
        except DamagedTable as error:
            errors.append(error)
            continue
        except RunError as error:
            if forced and len(files) == 1:
                raise
            reasons.append(f"{error.message.rstrip('.')}: passed over.")
            continue
        if isinstance(read, _Read):
            taken.append(read)
        else:
            reasons.append(f"{read}: passed over.")
    with_labels = [read for read in taken if read.has_labels]
    if not with_labels or not (forced or _covers(taken, layout)):
        if errors:
            raise errors[0]
        if forced:
            raise _nothing_fits(files, reasons, names, file_column)
        reasons += [
            f"{read.file.shown} names {len(read.found):,} of the images alone: passed over."
            for read in with_labels
        ]
        return None, tuple(reasons)
    # A list of test images without labels still says their split.
    taken = [read for read in taken if read.has_labels or read.file.split is not None]
    reasons += [f"{error.message.rstrip('.')}: passed over." for error in errors]
    _refuse_overlap(taken)
    return _put_together(taken, forced and len(files) == 1), tuple(reasons)


def _read(
    file: TableFile, names: FileNames, layout: Layout, file_column: str | None
) -> _Read | str:
    """A table, with each row's file; or why it isn't one of these images."""

    def is_of_split(path: str) -> bool:
        place = layout.place(path)
        return place is not None and place[0] == file.split

    folders = [file.folder, ""] if file.folder else [""]
    find = partial(names.find, folders=folders, prefer=is_of_split if file.split else None)
    table = read_table(file.path)
    if file_column is None and any(map(find, table.column_names)):
        # The first line is no header: it names a file itself.
        width = table.num_columns
        made = ["file", "label"] if width == 2 else [f"column_{k + 1}" for k in range(width)]
        table = read_table(file.path, made)
    if file_column is not None and file_column not in table.column_names:
        return f"{file.shown} has no column '{file_column}' ({shorten(table.column_names)})"
    if file_column is not None:
        return _with_paths(file, find, table, file_column)
    looks = [_look(names, find, table, field.name) for field in table.schema if _can_name(field)]
    best = max(looks, key=lambda look: look.found, default=None)
    # What repeats are classes that happen to be called as files are: "0", "1".
    if best is not None and (2 * best.found > best.rows or (best.found and best.are_images)):
        return _with_paths(file, find, table, best.column)
    for look in looks:
        if look.unclear:
            return f"{file.shown}, column '{look.column}': {look.unclear}"
    for look in looks:
        if 2 * look.folders > look.rows:
            return (
                f"{file.shown} has a row for each folder (column '{look.column}'), and needs one "
                "for each image"
            )
    return f"{file.shown} has no column that names images here"


@dataclass(frozen=True)
class _Look:
    """What the first rows of a column say: how many there are, how many images they name, how many
    folders of images, whether most end as images' names do, and a value that could be several.
    """

    column: str
    rows: int
    found: int
    folders: int
    are_images: bool
    unclear: str


def _look(names: FileNames, find: _Find, table: pa.Table, column: str) -> _Look:
    values = [str(v) for v in table.column(column).slice(0, _SAMPLE).to_pylist() if v is not None]
    found = [find(value) for value in values]
    several = (pair for pair in zip(values, found, strict=True) if len(pair[1]) > 1)
    unclear = (f"'{value}' could be {shorten(paths, 2)}" for value, paths in several)
    endings = sum(value.rpartition(".")[2].lower() in IMAGE_EXTENSIONS for value in values)
    return _Look(
        column,
        rows=len(values),
        found=len({paths[0] for paths in found if len(paths) == 1}),
        folders=len(names.folders.intersection(values)),
        are_images=2 * endings > len(values),
        unclear=next(unclear, ""),
    )


class DamagedTable(RunError):
    """A table is about the images, but can't be used."""


def _with_paths(file: TableFile, find: _Find, table: pa.Table, column: str) -> _Read:
    values = table.column(column).to_pylist()
    paths: list[str | None] = []
    first: dict[str, int] = {}
    for number, value in enumerate(values, start=1):
        found = find(str(value)) if value is not None else []
        if len(found) > 1:
            raise DamagedTable(
                f"{file.shown}: '{value}' in row {number} could be {shorten(found, 2)}.",
                f"Write it with its folder in the column '{column}', or name the folder that is "
                "meant with --image-root.",
            )
        paths += found or [None]
        if found and first.setdefault(found[0], number) != number:
            raise DamagedTable(
                f"{file.shown} names {found[0]} twice, in rows {first[found[0]]} and {number}.",
                "Each image needs one row.",
            )
    missing = len(paths) - len(first)
    if 2 * missing > len(paths):
        raise DamagedTable(
            f"{missing:,} of the {len(paths):,} rows of {file.shown} name no image that is there, "
            f"such as {values[paths.index(None)]!r} in its column '{column}'.",
            "Say where the images are with --image-root, or which column names them with "
            "--file-column.",
        )
    return _Read(file, column, table, paths)


def _can_name(column: pa.Field | pa.ChunkedArray) -> bool:
    kind = column.type
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind)
    )


def _covers(taken: Sequence[_Read], layout: Layout) -> bool:
    """Whether tables that weren't asked for name at least half of a split's images."""
    named = set().union(*(read.found for read in taken))
    return any(
        2 * sum(path in named for path in held) >= len(held) for held in layout.splits.values()
    )


def _nothing_fits(
    files: Sequence[TableFile], reasons: Sequence[str], names: FileNames, file_column: str | None
) -> UsageError:
    if not files:
        return UsageError(
            "There is no table of labels (.csv, .tsv, .jsonl, .parquet) here, so "
            + (f"--file-column {file_column}" if file_column else "--image-root")
            + " means nothing.",
            "Give the table itself as SOURCE.",
        )
    why = " ".join(reasons) or f"{files[0].shown} has no column beside the files' names."
    return UsageError(
        why.replace(": passed over.", "."),
        f"Images there: {names.examples()}. --file-column names the column of files, "
        "--image-root the folder that they start from.",
    )


def _refuse_overlap(taken: Sequence[_Read]) -> None:
    owner: dict[str, _Read] = {}
    for read in taken:
        for path in sorted(read.found):
            other = owner.setdefault(path, read)
            if other is not read:
                raise UsageError(
                    f"Several tables are about the same images: {other.file.shown} "
                    f"({shorten(other.table.column_names)}) and {read.file.shown} "
                    f"({shorten(read.table.column_names)}) both name {path}.",
                    "Give the one that is meant as SOURCE.",
                )


def _put_together(taken: Sequence[_Read], is_whole: bool) -> Labels:
    """The tables as one, without the rows whose file isn't there."""
    notes, tables = [], []
    rows: dict[str, int] = {}
    splits: dict[str, str] = {}
    for read in taken:
        notes.append(f"Labels come from {read.file.shown}, files from its column '{read.column}'.")
        held = [row for row, path in enumerate(read.paths) if path is not None]
        if missing := len(read.paths) - len(held):
            gone = read.table.column(read.column)[read.paths.index(None)].as_py()
            notes.append(
                f"{counted(missing, 'row')} of {read.file.shown} "
                f"name{'s' * (missing == 1)} no image that is there, such as {gone!r}: left out."
            )
        paths = [path for path in read.paths if path is not None]
        rows |= {path: row for row, path in enumerate(paths, start=len(rows))}
        splits |= dict.fromkeys(paths, read.file.split) if read.file.split is not None else {}
        tables.append(read.table.take(pa.array(held, pa.int64())).drop_columns([read.column]))
    columns = {name for table in tables for name in table.column_names}
    for read, table in zip(taken, tables, strict=True):
        if lacking := sorted(columns - set(table.column_names)):
            notes.append(f"{read.file.shown} has no column {shorten(lacking)}: null there.")
    what = f"The tables {', '.join(read.file.shown for read in taken)}"
    whole = join_tables(tables, what, "each. Or give one of them as SOURCE")
    whole, found = join_classes(_without_image(whole))
    return Labels(whole, rows, splits, is_whole, (*notes, *found))


def _without_image(table: pa.Table) -> pa.Table:
    """The table with a column "image", which is the name of the images, called otherwise."""
    names = table.column_names
    free = next(n for n in ("image_name", "image_value", "image_column") if n not in names)
    return table.rename_columns([free if name == "image" else name for name in names])


def agrees(labels: Labels, layout: Layout) -> bool:
    """Whether a column says of (nearly) every image the class that its folder names."""
    folders = layout.files
    paths = list(labels.rows)
    named = [folders.get(path) for path in paths]
    for column in labels.table.columns:
        if not _can_name(column):
            continue
        values = pc.cast(column, pa.string()).to_pylist()
        same = sum(
            name is not None and value is not None and natural_key(name)[0] == natural_key(value)[0]
            for name, value in zip(named, values, strict=True)
        )
        if same >= 0.99 * len(paths):
            return True
    return False
