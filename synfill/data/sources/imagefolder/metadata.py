"""An ImageFolder's metadata files: a table of columns and, for every row, the file it is about."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Sequence
from pathlib import Path

import pyarrow as pa

from synfill.data.sources.imagefolder.tablefiles import Labels, join_tables, read_table
from synfill.data.tree import Tree, join
from synfill.errors import RunError, UsageError

METADATA_NAMES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_FILE_COLUMN = "file_name"
_WINDOWS_DRIVE = re.compile(r"[A-Za-z]:")


class NoFileColumn(UsageError):
    """No column of a metadata file holds the paths of its images."""


def has_metadata(tree: Tree, folders: Sequence[str]) -> bool:
    """Whether a metadata file stands in one of the folders."""
    return any(name in tree.folders[folder] for folder in folders for name in METADATA_NAMES)


def read_metadata(tree: Tree, folders: Sequence[str], images: Collection[str]) -> Labels:
    """Read the metadata files that stand in some folders.

    Args:
        tree: The dataset's folder.
        folders: Where a metadata file may stand: the root (""), and each split's folder.
        images: Paths of the images that are there, below the root.

    Returns:
        All of them as one table. There must be one (`has_metadata`).

    Raises:
        UsageError: Two metadata files in one folder, or no column names the files.
        RunError: A metadata file is damaged, or names a file twice or one outside the dataset.
    """
    tables: list[pa.Table] = []
    rows: dict[str, int] = {}
    for folder in dict.fromkeys(folders):
        found = [name for name in METADATA_NAMES if name in tree.folders[folder]]
        if not found:
            continue
        if len(found) > 1:
            raise UsageError(
                f"The folder {tree.root / folder} has several metadata files: {', '.join(found)}.",
                "Keep one of them.",
            )
        path = tree.root / folder / found[0]
        table = read_table(path)
        column = _file_column(path, table, folder, images)
        _collect_rows(path, table.column(column), folder, rows)
        tables.append(table.drop_columns([column]))
    what = f"The metadata files in {tree.root}"
    return Labels(join_tables(tables, what, "every split"), rows)


def _file_column(path: Path, table: pa.Table, folder: str, images: Collection[str]) -> str:
    """The column that names the files: file_name, else the only one whose values are files."""
    if _FILE_COLUMN in table.column_names:
        return _FILE_COLUMN
    found = []
    for field in table.schema:
        if pa.types.is_string(field.type):
            values = table.column(field.name).to_pylist()
            there = sum(1 for value in values if value and join(folder, value) in images)
            if 2 * there > len(values):
                found.append(field.name)
    if len(found) == 1:
        return str(found[0])
    why = f"several could: {', '.join(found)}" if found else "none holds paths of files in it"
    raise NoFileColumn(
        f"{path} has no column '{_FILE_COLUMN}', and of its other columns {why}.",
        f"Name the column that holds each image's path '{_FILE_COLUMN}'; paths start from the "
        f"folder that {path.name} is in.",
    )


def _collect_rows(path: Path, names: pa.ChunkedArray, folder: str, rows: dict[str, int]) -> None:
    """Add each row's file to `rows`, whose numbers go on from the tables read before."""
    first = len(rows)
    for number, name in enumerate(names.to_pylist()):
        # A CSV's first line is its header; Parquet has no lines, so its rows are counted.
        line = number + (2 if path.suffix == ".csv" else 1)
        key = _path_below_root(path, line, name, folder)
        if key in rows:
            raise RunError(
                f"{path} line {line} names {key} a second time.", "Each image needs one row."
            )
        rows[key] = first + number


def plain_path(name: str) -> str | None:
    """A path in a table without "./" and "\\"; None where it leaves the folder it starts from."""
    plain = name if "/" in name else name.replace("\\", "/")
    if "/" in plain or plain in ("", "."):
        plain = posixpath.normpath(plain)
    leaves = plain in (".", "..") or plain.startswith(("/", "../")) or "\0" in plain
    return None if leaves or _WINDOWS_DRIVE.match(plain) else plain


def _path_below_root(path: Path, line: int, name: object, folder: str) -> str:
    if not isinstance(name, str) or not name:
        raise RunError(f"{path} line {line} names no file.", "Remove the line, or name its image.")
    plain = plain_path(name)
    if plain is None:
        raise RunError(
            f"{path} line {line} names a file outside the folder it is for: {name!r}.",
            "Paths start from the folder that the metadata file is in, and may not leave it.",
        )
    return join(folder, plain)
