"""What a balance run writes down for later ones.

.synfill/state.json    a run in progress
.synfill/commit.json   a dataset that is on its way to its place
synfill/run.json       a finished dataset
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field

from synfill.records import JsonObject
from synfill.runs.record import Record
from synfill.runs.written import FileEntry

ShardFolder = Literal["shards", "shards-2"]
SHARD_FOLDERS: tuple[ShardFolder, ...] = get_args(ShardFolder)
"""Where finished images may be: a run that takes over another's has them in the other one."""


class RunState(Record):
    """A run in progress.

    Attributes:
        identity: What decides its result, by setting.
        batch_size: What it began with.
        shard_size: Requests a shard.
        versions: Of the libraries, at its first start.
        shards: The name of the folder that its shards are in.
    """

    identity: JsonObject
    batch_size: int = Field(ge=1)
    shard_size: int = Field(ge=1)
    versions: dict[str, str] = Field(default={})
    shards: ShardFolder = "shards"


class Commit(Record):
    """A whole dataset that is being moved into place.

    Attributes:
        identity: What decided it.
        old: The names in OUT that it replaces.
        replaced: Path below OUT, with '/' -> the file there when the journal was written; all
            files at and below the names in `old`.
    """

    identity: JsonObject
    old: list[Annotated[str, Field(pattern=r"^[^/.\x00][^/\x00]*$", max_length=255)]]
    replaced: dict[str, FileEntry]


class SplitEntry(Record):
    """What was written of one split."""

    rows: int = Field(ge=0)
    bytes: int = Field(ge=0)
    files: int = Field(ge=0)


class CountEntry(Record):
    """One class or cell; `earlier` isn't in the first versions' records."""

    before: int = Field(ge=0)
    kept: int = Field(ge=0)
    wanted: int = Field(ge=0)
    synthetic: int = Field(ge=0)
    earlier: int = Field(0, ge=0)


class RunRecord(Record):
    """run.json, as far as later runs need it.

    Attributes:
        identity: What decided the result, by setting.
        split: The balanced split.
        counts: One entry a class or cell, in the dataset's order.
        rejected: Images that were made and not accepted.
        unfilled: Images that were wanted and never accepted.
        splits: What was written, by split.
        files: Path below OUT, with '/' -> what was written there; all files but run.json. None in
            the records of versions up to 0.1.
        batch_sizes: Those that were in force, ascending.
        columns: "synthetic", "prompt", "seed", "generator" -> the column's name.
        versions: Of the libraries that finished it.
        shard_versions: The different versions that its images were made with.
    """

    identity: JsonObject
    split: str
    counts: list[CountEntry]
    rejected: int = Field(ge=0)
    unfilled: int = Field(ge=0)
    splits: dict[str, SplitEntry]
    files: dict[str, FileEntry] | None = None
    batch_sizes: list[int] = Field(default=[])
    columns: dict[str, str] = Field(default={})
    versions: dict[str, str] = Field(default={})
    shard_versions: list[dict[str, str]] = Field(default=[])

    @property
    def is_imagefolder(self) -> bool:
        """Whether its images are files in a folder for each split."""
        return self.identity.get("format") == "imagefolder"

    def data_folder(self, split: str) -> str:
        """The folder below OUT that a split's files are in."""
        return split if self.is_imagefolder else "data"
