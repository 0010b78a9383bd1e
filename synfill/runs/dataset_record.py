"""What a run writes down for later ones, and how it is read again: nothing of it is believed.

.synfill/state.json    a run in progress
.synfill/commit.json   a dataset that is on its way to its place
synfill/run.json       a finished dataset
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from synfill.errors import RunError
from synfill.files import atomic_write
from synfill.reading import parse_json, read_regular
from synfill.records import JsonObject
from synfill.runs.written import FileEntry

LARGEST_RUN = 1 << 30
"""Bytes of a run.json: it has a line for every image file of an ImageFolder."""


ShardFolder = Literal["shards", "shards-2"]
SHARD_FOLDERS: tuple[ShardFolder, ...] = get_args(ShardFolder)
"""Where finished images may be: a run that takes over another's has them in the other one."""


class _Remembered(BaseModel):
    # Strict: "3" and true are no counts. What a later version adds is left alone.
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class RunState(_Remembered):
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
    versions: dict[str, str] = {}
    shards: ShardFolder = "shards"


class Commit(_Remembered):
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


class SplitEntry(_Remembered):
    """What was written of one split."""

    rows: int = Field(ge=0)
    bytes: int = Field(ge=0)
    files: int = Field(ge=0)


class CountEntry(_Remembered):
    """One class or cell; `earlier` isn't in the first versions' records."""

    before: int = Field(ge=0)
    kept: int = Field(ge=0)
    wanted: int = Field(ge=0)
    synthetic: int = Field(ge=0)
    earlier: int = Field(0, ge=0)


class RunRecord(_Remembered):
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
    batch_sizes: list[int] = []
    columns: dict[str, str] = {}
    versions: dict[str, str] = {}
    shard_versions: list[dict[str, str]] = []


Record = TypeVar("Record", bound=_Remembered)


def read_record(path: Path, kind: type[Record]) -> Record | None:
    """Read a record and check it.

    Returns:
        None if there is none.

    Raises:
        RunError: It is damaged.
    """
    try:
        content = parse_json(read_regular(path, LARGEST_RUN))
        return kind.model_validate(content)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        reason = f"{where}: {first['msg']}" if where else "it holds no object"
    except (OSError, ValueError) as error:
        reason = str(error)
    raise RunError(
        f"{path} is damaged ({reason}).",
        "Restore it, choose another --out, or add --overwrite to begin anew.",
    )


def write_record(path: Path, record: _Remembered) -> None:
    """Write a record, whole or not at all."""
    with atomic_write(path) as file:
        file.write(json.dumps(record.model_dump(mode="json"), indent=1, sort_keys=True).encode())


def as_json(identity: Mapping[str, object]) -> JsonObject:
    """An identity as an earlier one was read: a tuple is a list there."""
    content: JsonObject = json.loads(json.dumps(identity))
    return content


def digest_identity(identity: Mapping[str, object]) -> str:
    """A short name for an identity, which its shards carry."""
    text = json.dumps(as_json(identity), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def differences(
    before: Mapping[str, object], now: Mapping[str, object], unsure: Collection[str] = ()
) -> list[str]:
    """What changed between two identities, one line each; keys in `unsure` count as unchanged."""
    current = as_json(now)
    return [
        f"{key}: {_short(before.get(key))} -> {_short(current.get(key))}"
        for key in dict.fromkeys([*before, *current])
        if key not in unsure and before.get(key) != current.get(key)
    ]


def is_more_of(
    before: Mapping[str, object], now: Mapping[str, object], unsure: Collection[str] = ()
) -> bool:
    """Whether a run asks for more than an earlier one under the same rules: a larger limit or
    none, a higher target of the same kind. Whether all of the earlier one's requests are among
    its own, the plans say.
    """
    current = as_json(now)
    for key in dict.fromkeys([*before, *current]):
        old, new = before.get(key), current.get(key)
        if key in unsure or old == new:
            continue
        if key == "limit":
            is_more = isinstance(old, int) and (new is None or _is_number_above(new, old))
        elif key == "target":
            is_more = _kind_of(old) == _kind_of(new)
        else:
            is_more = False
        if not is_more:
            return False
    return True


def _is_number_above(new: Any, old: int) -> bool:
    return isinstance(new, int) and new > old


def _kind_of(target: object) -> str:
    return target.partition(":")[0] if isinstance(target, str) else "counts"


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
