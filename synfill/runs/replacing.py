"""What of an output folder a run may replace: only what a record says that an earlier run wrote.

A user may have added to it, edited it, or put there what the run itself reads.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from synfill.errors import UsageError
from synfill.runs.dataset_record import RunRecord
from synfill.runs.written import INFO_FILES, Comparer, FileEntry, hash_file

RUN = "synfill/run.json"
PLAN = "synfill/plan.parquet"
_CARD = "README.md"
_SHARD = re.compile(r"data/(?P<split>[^/.][^/]*)-\d{5}-of-\d{5}\.parquet")
_IMAGE = re.compile(r"(?P<split>[^/.][^/]*)/(metadata\.csv|([^/]+/)?(real|synthetic)-\d{7}\.\w+)")
_SHOWN = 5


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
        listed = listed_files(record)
        names = sorted({*self.writes, *(path.partition("/")[0] for path in listed or ())})
        if record is not None and listed is None:
            names = sorted({*names, *_weak_names(record)})
        found = [name for name in names if os.path.lexists(self.out / name)]
        foreign: list[str] = []
        for name in found:
            foreign += self._foreign(name, record, listed, is_damaged)
        if record is not None and listed is None and not foreign:
            foreign = disagreeing(self.out, record, list(record.splits))
        if foreign:
            shown = "\n".join(f"  {line}" for line in foreign[:_SHOWN])
            more = len(foreign) - _SHOWN
            raise UsageError(
                f"In {self.out} stands what synfill didn't write, where it would write:\n{shown}"
                + (f"\n  ... and {more:,} more" if more > 0 else ""),
                "Move it elsewhere, or choose another --out.",
            )
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

    def _foreign(
        self,
        name: str,
        record: RunRecord | None,
        listed: dict[str, FileEntry] | None,
        is_damaged: bool,
    ) -> list[str]:
        """What isn't ours of one name in OUT: paths, with the reason where it isn't plain."""
        foreign = []
        folders: set[str] = set()
        needed: set[str] = set()
        for path, status in _walk(self.out, name):
            if stat.S_ISDIR(status.st_mode):
                folders.add(path)
                continue
            needed.update(_above(path))
            if not stat.S_ISREG(status.st_mode):
                foreign.append(f"{path} (no regular file)")
            elif listed is not None:
                entry = listed.get(path)
                if entry is None and path != RUN:
                    foreign.append(path)
                elif entry is not None and not self._comparer.is_same(self.out / path, entry):
                    foreign.append(f"{path} (changed since)")
            elif not _could_be_ours(path, record, is_damaged):
                foreign.append(path)
        # An empty folder below ours; ours themselves may be empty.
        foreign += sorted(folder + "/" for folder in folders - needed if folder != name)
        return foreign


def listed_files(record: RunRecord | None) -> dict[str, FileEntry] | None:
    """The files of a record, of those that a run may have written: a record can be forged."""
    if record is None or record.files is None:
        return None
    return {path: entry for path, entry in record.files.items() if _is_our_name(path, record)}


def _is_our_name(path: str, record: RunRecord) -> bool:
    shard, image = _SHARD.fullmatch(path), _IMAGE.fullmatch(path)
    if {"", ".", ".."}.intersection(path.split("/")):
        return False
    if path == _CARD or path in INFO_FILES or (shard and shard["split"] in record.splits):
        return True
    is_imagefolder = record.identity.get("format") == "imagefolder"
    return bool(is_imagefolder and image and image["split"] in record.splits)


def _could_be_ours(path: str, record: RunRecord | None, is_damaged: bool) -> bool:
    """Whether a name is one of ours, where no hash tells."""
    if record is not None:
        return _is_our_name(path, record)
    if is_damaged:
        # Whose run.json is damaged has no other record.
        patterns = _SHARD.fullmatch(path) or _IMAGE.fullmatch(path)
        return path == _CARD or path in INFO_FILES or patterns is not None
    # Left by a dry run, or by a version that put it there before the images were made.
    return path == PLAN


def _weak_names(record: RunRecord) -> set[str]:
    is_imagefolder = record.identity.get("format") == "imagefolder"
    splits = [split for split in record.splits if "/" not in split and split[:1] not in ("", ".")]
    return {_CARD, "synfill", *(splits if is_imagefolder else ["data"])}


def disagreeing(out: Path, record: RunRecord, splits: Collection[str]) -> list[str]:
    """Splits of a dataset of a version without hashes that aren't what its record says."""
    is_imagefolder = record.identity.get("format") == "imagefolder"
    wrong = []
    for split in splits:
        entry = record.splits[split]
        if is_imagefolder and split not in _weak_names(record):
            continue
        sizes = [
            status.st_size
            for path, status in _walk(out, split if is_imagefolder else "data")
            if stat.S_ISREG(status.st_mode) and _is_of_split(path, split, is_imagefolder)
        ]
        if (len(sizes), sum(sizes)) != (entry.files, entry.bytes):
            wrong.append(f"the split '{split}' (not as synfill/run.json has it)")
    return wrong


def _is_of_split(path: str, split: str, is_imagefolder: bool) -> bool:
    found = (_IMAGE if is_imagefolder else _SHARD).fullmatch(path)
    return found is not None and found["split"] == split


def _walk(out: Path, name: str) -> Iterable[tuple[str, os.stat_result]]:
    """Everything at and below one name, links not followed: path below OUT, status."""
    try:
        status = (out / name).lstat()
    except FileNotFoundError:
        return
    yield name, status
    if stat.S_ISDIR(status.st_mode):
        for child in sorted(os.listdir(out / name)):
            yield from _walk(out, f"{name}/{child}")


def files_below(out: Path, name: str) -> Iterable[str]:
    """All that is no folder at and below one name, links not followed: paths below OUT."""
    return (path for path, status in _walk(out, name) if not stat.S_ISDIR(status.st_mode))


def files_of_split(out: Path, split: str, record: RunRecord) -> list[Path]:
    """The files of a split as a run named them, of those that are there; no links."""
    is_imagefolder = record.identity.get("format") == "imagefolder"
    return [
        out / path
        for path, status in _walk(out, split if is_imagefolder else "data")
        if stat.S_ISREG(status.st_mode) and _is_of_split(path, split, is_imagefolder)
    ]


def _above(path: str) -> Iterable[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path
