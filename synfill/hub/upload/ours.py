"""Which files a record says that its run wrote: by its list or, without one, by their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from synfill.hub.upload.kinds import DATASET, Kind
from synfill.hub.upload.remote import CARD, RUN
from synfill.records import JsonObject
from synfill.runs.written import INFO_FILES

_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHARD = re.compile(r"data/(?P<split>[^/]+)-(?P<number>\d{5,})-of-(?P<of>\d{5,})\.parquet")
_IMAGE = re.compile(r"(?P<split>[^/]+)/(?:[^/]+/)?(?:real|synthetic)-(?P<number>\d{7,})\.\w+")
_METADATA = re.compile(r"(?P<split>[^/]+)/metadata\.csv")


def listed_files(record: Mapping[str, Any]) -> dict[str, tuple[int, str]] | None:
    """The files that a record lists: path -> (bytes, SHA-256); None where it has no list.

    An entry that can't be is left out: nothing is known of such a file.
    """
    files = record.get("files")
    if not isinstance(files, dict):
        return None
    found = {}
    for name, entry in files.items():
        size, sha256 = (
            (entry.get("bytes"), entry.get("sha256")) if isinstance(entry, dict) else (None, None)
        )
        if (
            type(size) is int
            and isinstance(sha256, str)
            and _SHA256.fullmatch(sha256)
            and is_plain_path(name)
        ):
            found[name] = (size, sha256)
    return found


def is_plain_path(name: str) -> bool:
    """Whether a path from a record stays below its folder, and is spelled in one way only."""
    parts = name.split("/")
    return not any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts)


def wrote(record: JsonObject, kind: Kind) -> Callable[[str], bool]:
    """Whether the run of a record without a list wrote a file, judged by the file's path.

    The card counts: the run wrote one, though others may have edited it since.
    """
    if kind is not DATASET:
        entries = record.get("entries")
        # A model's are its files, all of them beside each other.
        names = {str(entry) for entry in entries} if isinstance(entries, list) else set()
        return lambda name: name in names or name == RUN
    splits = record.get("splits")
    splits = splits if isinstance(splits, dict) else {}

    def count(split: str, what: str) -> int:
        part = splits.get(split)
        number = part.get(what) if isinstance(part, dict) else None
        return number if type(number) is int else 0

    def is_written(name: str) -> bool:
        if name in INFO_FILES or name == CARD:
            return True
        if found := _SHARD.fullmatch(name):
            files = count(found["split"], "files")
            return int(found["number"]) < int(found["of"]) == files
        if found := _IMAGE.fullmatch(name):
            return int(found["number"]) < count(found["split"], "rows")
        found = _METADATA.fullmatch(name)
        return found is not None and found["split"] in splits

    return is_written


def is_read_with(names: Mapping[str, object]) -> Callable[[str], bool]:
    """Whether `load_dataset` would read a file as part of the dataset that these files make."""
    shards = {f"data/{found['split']}-" for found in map(_SHARD.fullmatch, names) if found}
    folders = {f"{found['split']}/" for found in map(_METADATA.fullmatch, names) if found}
    prefixes = tuple(shards | folders)
    return lambda name: name.startswith(prefixes)
