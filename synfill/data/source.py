"""Where images and labels come from: the contract every source keeps, and opening one.

A source gives a label table without decoding or copying a single image, and hands out image
bytes only when asked. It does not know what the rows are wanted for.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from synfill.errors import RunError, UsageError
from synfill.hub.revisions import is_revision
from synfill.reading import regular
from synfill.records import AS_FOUND, FolderOptions, JsonObject

if TYPE_CHECKING:
    from synfill.data.sources.imagefolder.tree import Tree

IMAGE_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
"""How every source hands out its images."""

_HUB_ID = re.compile(r"(?P<id>[\w-][\w.-]*/[\w-][\w.-]*)(?:@(?P<revision>[\w./-]+))?")

ColumnKind = Literal["image", "class", "int", "string", "bool", "other"]


@dataclass(frozen=True)
class Column:
    """A column of a source.

    Attributes:
        name: Its name.
        kind: "image"; "class" for a ClassLabel; "int", "string", "bool"; "other" for the rest.
        feature: Its feature as `datasets` writes it in JSON, e.g.
            {"names": ["cat", "dog"], "_type": "ClassLabel"}.
    """

    name: str
    kind: ColumnKind
    feature: JsonObject

    @property
    def class_names(self) -> tuple[str, ...]:
        """A ClassLabel's names, in order; empty for other kinds."""
        return tuple(self.feature["names"]) if self.kind == "class" else ()


@dataclass(frozen=True)
class Origin:
    """What is said of a source in a card: where it is from and under which terms.

    Attributes:
        name: Short name, safe as part of a file name ("cifar10").
        location: What the user gave: a path, or owner/name.
        is_local: Whether it is a local folder or file.
        revision: For a Hub dataset the commit or revision that was read; else "".
        licence: The licence its card names; "" where none is named.
    """

    name: str
    location: str
    is_local: bool
    revision: str = ""
    licence: str = ""

    @property
    def hub_id(self) -> str:
        """Its id on the Hub; "" for a local dataset, and for the built-in one."""
        return self.location if not self.is_local and "/" in self.location else ""


class Source(Protocol):
    """A dataset of images. All its splits have the same columns."""

    @property
    def origin(self) -> Origin:
        """Where it is from."""

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits' names, train first."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns, in the source's order."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of how it was read (a folder that was passed over, say)."""

    def count(self, split: str) -> int:
        """How many rows a split has."""

    def read_column(self, split: str, name: str) -> pa.ChunkedArray:
        """One column that isn't an image, of all rows of a split. Reads no image bytes."""

    def iter_rows(
        self, split: str, rows: NDArray[np.int64] | None = None, batch_rows: int = 256
    ) -> Iterator[tuple[NDArray[np.int64], pa.RecordBatch]]:
        """Whole rows in ascending order, as (row numbers, batch) pairs.

        The image column comes as struct<bytes: binary, path: string> with the file's own bytes;
        bytes are null where the file can't be read, or the row has no image. All other columns
        come as the source stores them.

        Args:
            split: The split.
            rows: Row numbers, ascending; None for all.
            batch_rows: Rows a batch at most.
        """

    def describe_row(self, split: str, row: int) -> str:
        """Where an image is, for a message: "train/cat/1.jpg", "train.parquet row 17 (a.png)"."""

    def image_bytes(self, split: str) -> int:
        """Bytes of a split's images, about: what can be told without reading one."""

    def stamp(self) -> str | None:
        """The same as before only if no image has changed since; told without reading one.

        None where that can't be told.
        """
        ...


def image_column(columns: Sequence[Column]) -> Column:
    """The one image column of a source that was opened.

    Raises:
        UsageError: No column holds images, or several do.
    """
    from synfill.data.features import with_one_image

    return next(c for c in with_one_image(tuple(columns), None) if c.kind == "image")


def open_source(
    spec: str,
    *,
    config: str | None = None,
    image: str | None = None,
    folder: FolderOptions = AS_FOUND,
) -> Source:
    """Open a dataset. Reads names, footers and metadata, but no image.

    Args:
        spec: A folder, a Parquet file, or a table of image files and labels (.csv, .tsv, .jsonl,
            .parquet); `owner/name` or `owner/name@revision` on the Hub; or `demo` for the built-in
            dataset. A local path wins over a Hub id; a folder named demo is reached as ./demo.
        config: Which configuration, where the dataset has several.
        image: Which column holds the images, where several could.
        folder: How a folder of image files is to be read.

    Raises:
        UsageError: There is no such dataset, or not enough was said to tell what is meant.
        RunError: The dataset can't be read.
    """
    if spec == "demo":
        from synfill.data.sources.demo import DemoSource

        _refuse_folder(spec, folder)
        return DemoSource()
    if spec and os.path.exists(os.path.expanduser(spec)):
        return _open_local(spec, config, image, folder)
    # Below a folder that is there, a missing one is a typo, not an id.
    is_path = os.path.isdir(os.path.dirname(spec)) if spec else False
    if not is_path and (hub := _HUB_ID.fullmatch(spec)):
        from synfill.data.sources.hub import open_hub

        _refuse_folder(spec, folder)
        if hub["revision"] is not None and not is_revision(hub["revision"]):
            raise UsageError(
                f"'{hub['revision']}' can be no revision of {hub['id']}.",
                "Name a branch, a tag or a commit after the @.",
            )
        return open_hub(hub["id"], revision=hub["revision"], config=config, image=image)
    raise UsageError(
        f"There is no folder or file '{spec}'.",
        "Give a folder of images, a Parquet file or folder, or a Hub dataset as owner/name.",
    )


def _open_local(spec: str, config: str | None, image: str | None, folder: FolderOptions) -> Source:
    from synfill.data.sources.imagefolder.tablefiles import TABLE_SUFFIXES
    from synfill.data.sources.imagefolder.tree import read_tree
    from synfill.data.sources.parquet import open_parquet, parquet_files

    path = Path(spec).expanduser()
    if not path.is_dir():
        suffix = path.suffix.lower()
        if suffix not in TABLE_SUFFIXES:
            raise UsageError(
                f"'{spec}' is a file, but not a Parquet file nor another table of image files and "
                "labels (.csv, .tsv, .jsonl).",
                "Give a folder of images, a table of them, a .parquet file, or a folder of these.",
            )
        if (
            suffix == ".parquet"
            and folder == AS_FOUND
            and not (_names_files(path) and _holds_images(read_tree(path.parent)))
        ):
            return open_parquet(spec, path, [path.name], config=config, image=image)
        _refuse_config(spec, config)
        return _open_table(spec, path, image, folder)
    if (path / "dataset_dict.json").is_file() or (
        (path / "dataset_info.json").is_file() and (path / "state.json").is_file()
    ):
        from synfill.data.sources.saved import open_saved

        _refuse_config(spec, config)
        _refuse_folder(spec, folder)
        return open_saved(spec, path, image=image)
    if (path / ".synfill/commit.json").exists() and not (path / "synfill/run.json").exists():
        raise RunError(
            f"The dataset in '{spec}' is only half in its place: synfill balance was stopped in "
            "its last step.",
            "Run the same synfill balance command again: it completes it at once.",
        )
    tree = read_tree(path)
    files = parquet_files(tree)
    if files and not (_holds_images(tree) and all(_names_files(path / n) for n in files)):
        _refuse_folder(spec, folder)
        return open_parquet(spec, path, files, config=config, image=image)
    _refuse_config(spec, config)
    return _open_folder(spec, path, tree, image, folder)


def _open_folder(
    spec: str, path: Path, tree: Tree, image: str | None, folder: FolderOptions
) -> Source:
    from synfill.data.sources.imagefolder.source import open_imagefolder
    from synfill.data.sources.imagefolder.tables import table_files
    from synfill.data.sources.imagefolder.tree import read_tree

    tables = None
    images = tree
    if folder.image_root is not None:
        images = read_tree(_image_root(folder.image_root, path))
    if folder.image_root is not None or folder.file_column is not None:
        tables = table_files(tree, images)
    return open_imagefolder(spec, images, image=image, options=folder, tables=tables)


def _open_table(spec: str, path: Path, image: str | None, folder: FolderOptions) -> Source:
    from synfill.data.sources.imagefolder.metadata import METADATA_NAMES
    from synfill.data.sources.imagefolder.source import open_imagefolder
    from synfill.data.sources.imagefolder.tables import TableFile
    from synfill.data.sources.imagefolder.tree import read_tree

    if path.name in METADATA_NAMES and folder == AS_FOUND:
        return open_imagefolder(spec, read_tree(path.parent), image=image)
    where: str | None = ""
    root = path.parent
    if folder.image_root is not None:
        root = _image_root(folder.image_root, path.parent)
        # Paths in it start from the images' root, unless it lies below that.
        inside = os.path.relpath(os.path.realpath(path.parent), os.path.realpath(root))
        where = None if inside.startswith("..") else inside.replace(os.sep, "/").strip(".")
    tree = read_tree(root)
    if not _holds_images(tree):
        raise UsageError(
            f"There are no images in {root}, where the file names in '{spec}' start from.",
            "Say where they are with --image-root.",
        )
    tables = [TableFile(path, path.name, where)]
    return open_imagefolder(spec, tree, image=image, options=folder, tables=tables)


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


def _names_files(path: Path) -> bool:
    """Whether a Parquet file holds no images, but columns that may name their files."""
    import pyarrow.parquet as pq

    from synfill.data.features import columns_of, schema_features

    try:
        # Arrow would wait for somebody to write to a pipe.
        schema = pq.read_schema(regular(path))
        kinds = {column.kind for column in columns_of(schema, schema_features(schema))}
    except (pa.ArrowException, OSError, ValueError):
        return False  # whoever reads it as data says what is wrong
    return "image" not in kinds and bool(kinds & {"string", "int"})


def _holds_images(tree: Tree) -> bool:
    from synfill.data.sources.imagefolder.layout import image_names

    return any(image_names(tree.folders).values())


def _refuse_config(spec: str, config: str | None) -> None:
    if config is not None:
        raise UsageError(
            f"'{spec}' has no configurations, so --config {config} means nothing here.",
            "Leave --config out.",
        )


def _refuse_folder(spec: str, folder: FolderOptions) -> None:
    for option, value in (
        ("--layout", folder.layout),
        ("--image-root", folder.image_root),
        ("--file-column", folder.file_column),
    ):
        if value is not None:
            raise UsageError(
                f"'{spec}' is no folder of image files, so {option} means nothing here.",
                f"Leave {option} out.",
            )
