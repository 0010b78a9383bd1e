"""Which files a record says that its run wrote: by its list or, without one, by their names.

The record may be a stranger's: unlike one of the user's own folder it needn't be whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from synfill.hub.upload.kinds import DATASET, Kind
from synfill.records import JsonObject
from synfill.runs.dataset_files import CARD, IMAGE, RUN, SHARD
from synfill.runs.written import INFO_FILES, FileEntry, is_plain_path


def listed_files(record: Mapping[str, Any]) -> dict[str, FileEntry] | None:
    """The files that a record lists, by path; None where it has no list.

    An entry that can't be is left out: nothing is known of such a file.
    """
    files = record.get("files")
    if not isinstance(files, dict):
        return None
    found = {}
    for name in filter(is_plain_path, files):
        with suppress(ValidationError):
            found[name] = FileEntry.model_validate(files[name])
    return found


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
        if found := SHARD.fullmatch(name):
            return int(found["number"]) < int(found["of"]) == count(found["split"], "files")
        if found := IMAGE.fullmatch(name):
            number, split = found["number"], found["split"]
            return int(number) < count(split, "rows") if number else split in splits
        return name in INFO_FILES or name == CARD

    return is_written


def is_read_with(names: Mapping[str, object]) -> Callable[[str], bool]:
    """Whether `load_dataset` would read a file as part of the dataset that these files make."""
    shards = {f"data/{found['split']}-" for found in map(SHARD.fullmatch, names) if found}
    images = (found for found in map(IMAGE.fullmatch, names) if found)
    prefixes = (*shards, *{f"{found['split']}/" for found in images if not found["number"]})
    return lambda name: name.startswith(prefixes)
