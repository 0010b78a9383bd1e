"""Which files of an output folder belong to a balanced dataset, and which of them may be replaced:
only what a record says that an earlier run wrote.

A user may have added to it, edited it, or put there what the run itself reads.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from synfill.errors import UsageError
from synfill.runs.dataset_record import RunRecord
from synfill.runs.written import (
    INFO_FILES,
    Comparer,
    FileEntry,
    hash_file,
    is_plain_path,
    refuse_foreign,
)

RUN = "synfill/run.json"
PLAN = "synfill/plan.parquet"
CARD = "README.md"
SHARD = re.compile(
    r"data/(?P<split>[^/.][^/]*)-(?P<number>[0-9]{5,})-of-(?P<of>[0-9]{5,})\.parquet"
)
IMAGE = re.compile(
    r"(?P<split>[^/.][^/]*)/"
    r"(?:metadata\.csv|(?:[^/]+/)?(?:real|synthetic)-(?P<number>[0-9]{7,})\.\w+)"
)
"""What a run calls its files with data; a metadata.csv has no number."""


@dataclass
class Replacing:
    """Looks at what stands where a dataset is to go.

    Attributes:
        out: The output folder.
        writes: Names in it that the run will write: README.md, synfill, data or the splits.
        reads: Paths that the run reads.
    """

    out: Path
    writes: Collection[str]
    reads: Sequence[Path] = ()
    # What was found unchanged needs no second reading before the commit, unless it was touched.
    _comparer: Comparer = field(default_factory=Comparer)

    def find(self, record: RunRecord | None, is_damaged: bool) -> list[str]:
        """The names in OUT that are to be replaced.

        Args:
            record: What run.json of the dataset there says; None if there is none.
            is_damaged: Whether there is a run.json that can't be read.

        Raises:
            UsageError: Something there is not, or no longer, what a run of ours wrote.
        """
        names = {*self.writes, *(path.partition("/")[0] for path in listed_files(record) or ())}
        is_unlisted = record is not None and record.files is None
        if record is not None and is_unlisted:
            names |= _names_of_unlisted(record)
        found = [name for name in sorted(names) if os.path.lexists(self.out / name)]
        foreign = [line for name in found for line in self._foreign(name, record, is_damaged)]
        if record is not None and is_unlisted and not foreign:
            foreign = disagreeing(self.out, record, list(record.splits))
        refuse_foreign(self.out, foreign, "synfill")
        self._check_reads(found)
        return found

    def entries(self, names: Iterable[str], record: RunRecord | None) -> dict[str, FileEntry]:
        """The files at and below names that `find` gave: path below OUT, with '/' -> the file.

        Args:
            names: The names.
            record: What `find` was given; it knows the hashes of what it lists.
        """
        listed = listed_files(record) or {}
        found = {}
        for path in (path for name in names for path in files_below(self.out, name)):
            entry = listed.get(path)
            if entry is None:
                file = self.out / path
                entry = FileEntry(bytes=file.stat().st_size, sha256=hash_file(file))
            found[path] = entry
        return found

    def _check_reads(self, found: Sequence[str]) -> None:
        root = self.out.resolve()
        for path in self.reads:
            place = path.resolve()
            for name in (*found, ".synfill"):
                if place.is_relative_to(root / name):
                    raise UsageError(
                        f"{path}, which the run reads, lies in {self.out / name}, which it "
                        "replaces.",
                        "Move it elsewhere, or choose another --out.",
                    )

    def _foreign(self, name: str, record: RunRecord | None, is_damaged: bool) -> list[str]:
        """What isn't ours of one name in OUT: paths, with the reason where it isn't plain."""
        listed = listed_files(record)
        foreign: list[str] = []
        # A folder is ours if it is `name` itself, or if anything is in it.
        empty = set()
        for path, status in _walk(self.out, name):
            if stat.S_ISDIR(status.st_mode):
                empty.add(path)
                continue
            empty.difference_update(map(str, PurePosixPath(path).parents))
            if not stat.S_ISREG(status.st_mode):
                foreign.append(f"{path} (no regular file)")
            elif listed is None:
                # Whose run.json is damaged has no other record. Without any, a plan was left by a
                # dry run, or by a version that put it there before the images were made.
                has_record = record is not None or is_damaged
                is_ours = _is_our_name(path, record) if has_record else path == PLAN
                foreign += [] if is_ours else [path]
            elif path != RUN or path in listed:
                foreign += self._comparer.find_fault(self.out, path, listed.get(path))
        return foreign + sorted(f"{folder}/" for folder in empty - {name})


def listed_files(record: RunRecord | None) -> dict[str, FileEntry] | None:
    """The files of a record, of those that a run may have written: a record can be forged."""
    if record is None or record.files is None:
        return None
    return {
        path: entry
        for path, entry in record.files.items()
        if is_plain_path(path) and _is_our_name(path, record)
    }


def _is_our_name(path: str, record: RunRecord | None) -> bool:
    """Whether a run calls a file so: that of a record, or any."""
    if path == CARD or path in INFO_FILES:
        return True
    shard, image = SHARD.fullmatch(path), IMAGE.fullmatch(path)
    if record is None:
        return bool(shard or image)
    return bool(
        (shard and shard["split"] in record.splits)
        or (record.is_imagefolder and image and image["split"] in record.splits)
    )


def _names_of_unlisted(record: RunRecord) -> set[str]:
    """The names in OUT that a version without a list of files wrote."""
    splits = [split for split in record.splits if "/" not in split and split[:1] not in ("", ".")]
    return {CARD, "synfill", *(splits if record.is_imagefolder else ["data"])}


def disagreeing(out: Path, record: RunRecord, splits: Collection[str]) -> list[str]:
    """Splits of a dataset of a version without hashes that aren't what its record says."""
    wrong = []
    for split in splits:
        if record.data_folder(split) not in _names_of_unlisted(record):
            continue
        entry = record.splits[split]
        sizes = [path.stat().st_size for path in files_of_split(out, split, record)]
        if (len(sizes), sum(sizes)) != (entry.files, entry.bytes):
            wrong.append(f"the split '{split}' (not as {RUN} has it)")
    return wrong


def files_of_split(out: Path, split: str, record: RunRecord) -> list[Path]:
    """The files of a split as a run named them, of those that are there; no links."""
    pattern = IMAGE if record.is_imagefolder else SHARD
    return [
        out / path
        for path, status in _walk(out, record.data_folder(split))
        if stat.S_ISREG(status.st_mode)
        and (found := pattern.fullmatch(path)) is not None
        and found["split"] == split
    ]


def files_below(out: Path, name: str) -> Iterable[str]:
    """All that is no folder at and below one name, links not followed: paths below OUT."""
    return (path for path, status in _walk(out, name) if not stat.S_ISDIR(status.st_mode))


def _walk(out: Path, name: str) -> Iterator[tuple[str, os.stat_result]]:
    """Everything at and below one name, links not followed: path below OUT, status."""
    try:
        status = (out / name).lstat()
    except FileNotFoundError:
        return
    yield name, status
    if stat.S_ISDIR(status.st_mode):
        for child in sorted(os.listdir(out / name)):
            yield from _walk(out, f"{name}/{child}")
