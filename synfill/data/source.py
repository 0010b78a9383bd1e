"""Where images and labels come from: the contract every source keeps, and opening one.

A source gives a label table without decoding or copying a single image, and hands out image
bytes only when asked. It does not know what the rows are wanted for. A kind of source is a
component (`SOURCES`): it says whether what a user gave is of its kind, and opens it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from synfill.config.components import SOURCES
from synfill.config.registry import Component, describe
from synfill.data.tree import Tree, read_tree
from synfill.errors import RunError, UsageError
from synfill.records import AS_FOUND, FolderOptions, JsonObject

IMAGE_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
"""How every source hands out its images."""

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
        """Bytes of a split's images, about: as far as is known without reading one."""

    def stamp(self) -> str | None:
        """The same as before only if no image has changed since; found without reading one.

        None where that can't be known.
        """
        ...


def image_column(columns: Sequence[Column]) -> Column:
    """The image column of a source that was opened: it has exactly one."""
    return next(column for column in columns if column.kind == "image")


@dataclass(frozen=True)
class Given:
    """What a user gave as SOURCE.

    Attributes:
        spec: As it was written.
        config: Which configuration, where the dataset has several.
        image: Which column holds the images, where several could.
        is_as_found: Whether nothing was said of how a folder of image files is to be read.
    """

    spec: str
    config: str | None = None
    image: str | None = None
    is_as_found: bool = True

    @cached_property
    def path(self) -> Path | None:
        """The folder or file of that name; None where there is none."""
        path = os.path.expanduser(self.spec)
        return Path(path) if self.spec and os.path.exists(path) else None

    @cached_property
    def tree(self) -> Tree | None:
        """What is in the folder; None where it is none. Read once, whoever asks.

        Raises:
            RunError: A folder in it can't be read.
        """
        return read_tree(self.path) if self.path is not None and self.path.is_dir() else None

    def refuse_config(self) -> None:
        """Refuse a configuration where there are none.

        Raises:
            UsageError: One was named.
        """
        if self.config is not None:
            raise UsageError(
                f"'{self.spec}' has no configurations, so --config {self.config} means nothing "
                "here.",
                "Leave --config out.",
            )


class SourceKind(Component):
    """A kind of source. Its fields are what a user may say of how it is read."""

    def is_meant(self, given: Given) -> bool:
        """Whether what a user gave is of this kind. Reads no more than that takes.

        Raises:
            UsageError, RunError: It is, but can't be read.
        """
        raise NotImplementedError

    def open(self, given: Given) -> Source:
        """Open it: names, footers and metadata are read, but no image.

        Raises:
            UsageError: It isn't clear what is meant.
            RunError: It can't be read.
        """
        raise NotImplementedError


def open_source(
    spec: str,
    *,
    config: str | None = None,
    image: str | None = None,
    folder: FolderOptions = AS_FOUND,
) -> Source:
    """Open a dataset. Reads names, footers and metadata, but no image.

    The kinds in `SOURCES` are asked from the last to the first, the special before the general.

    Args:
        spec: A folder, a Parquet file, or a table of image files and labels (.csv, .tsv, .jsonl,
            .parquet); `owner/name` or `owner/name@revision` on the Hub; or `demo` for the built-in
            dataset. A local path wins over a Hub id; a folder named demo is reached as ./demo.
        config: Which configuration, where the dataset has several.
        image: Which column holds the images, where several could.
        folder: How a folder of image files is to be read.

    Raises:
        UsageError: There is no such dataset, or it isn't clear what is meant.
        RunError: The dataset can't be read.
    """
    options = {name: value for name, value in asdict(folder).items() if value is not None}
    given = Given(spec, config, image, is_as_found=not options)
    _refuse_half_committed(given)
    for name in reversed(SOURCES.names):
        kind = SOURCES[name]
        assert issubclass(kind, SourceKind), f"{name} is no kind of source"
        known = {option: value for option, value in options.items() if option in kind.model_fields}
        chosen = kind(**known)
        if chosen.is_meant(given):
            _refuse_others(spec, [option for option in options if option not in known])
            return chosen.open(given)
    if given.path is not None:
        raise UsageError(
            f"'{spec}' is a file, but not a Parquet file nor another table of image files and "
            "labels (.csv, .tsv, .jsonl).",
            "Give a folder of images, a table of them, a .parquet file, or a folder of these.",
        )
    listed = [describe(kind) for kind in SOURCES]
    raise UsageError(
        f"There is no folder or file '{spec}'.",
        f"Give {', '.join(f'{what[0].lower()}{what[1:]}' for what in listed[:-1])}, or "
        f"{listed[-1][0].lower()}{listed[-1][1:]}.",
    )


def _refuse_half_committed(given: Given) -> None:
    path = given.path
    if (
        path is not None
        and (path / ".synfill/commit.json").exists()
        and not (path / "synfill/run.json").exists()
    ):
        raise RunError(
            f"The dataset in '{given.spec}' is only half in its place: synfill balance was "
            "stopped in its last step.",
            "Run the same synfill balance command again: it completes it at once.",
        )


def _refuse_others(spec: str, options: Sequence[str]) -> None:
    """Refuse options of another kind of source."""
    for name in options:
        other = next(describe(kind) for kind in SOURCES if name in kind.model_fields)
        flag = f"--{name.replace('_', '-')}"
        raise UsageError(
            f"'{spec}' is no {other.partition(' ')[2]}, so {flag} means nothing here.",
            f"Leave {flag} out.",
        )
