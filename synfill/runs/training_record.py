"""What a training run writes down of itself, and which files in its folder are its own by that.

A file of a known name may be a user's, or edited since: --overwrite takes only what is as a run
wrote it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pydantic import ConfigDict, model_validator

from synfill.records import JsonObject
from synfill.runs.record import Record, read_record, write_record
from synfill.runs.written import Comparer, FileEntry, list_written, refuse_foreign

RUN, METHOD = "run.json", "method.json"


class TrainingRecord(Record):
    """run.json, or a method's method.json: an identity, and what stands beside it.

    Attributes:
        files: Path below OUT, with '/' -> what a run wrote there; None in the records of versions
            up to 0.1, and in method.json.
        is_open: Whether a run is at work, or was killed: it has not listed its files yet.
    """

    model_config = ConfigDict(extra="allow")

    files: dict[str, FileEntry] | None = None
    is_open: bool = False

    @property
    def identity(self) -> JsonObject:
        """What decides the results."""
        return self.model_extra or {}

    @model_validator(mode="after")
    def _check(self) -> TrainingRecord:
        if not self.identity:
            raise ValueError("it says nothing of a run")
        return self


def write_open(out: Path, identity: JsonObject, paths: Sequence[Path]) -> None:
    """Write run.json before there are results: until they are listed, what is newer is ours.

    Args:
        out: The output folder.
        identity: What decides the results.
        paths: Where runs leave their files in it, as far as there are such.
    """
    write_record(out / RUN, identity | {"files": _list_own(out, paths), "is_open": True})


def close_open(out: Path, paths: Sequence[Path]) -> None:
    """List the run's files in run.json, so that no later one takes others for them."""
    record = read_record(out / RUN, TrainingRecord)
    if record is not None and record.is_open:
        write_record(out / RUN, record.identity | {"files": _list_own(out, paths)})


def _list_own(out: Path, paths: Sequence[Path]) -> dict[str, JsonObject]:
    own = [path for path in paths if not path.is_symlink()]
    foreign = {path for path, _ in _find_foreign(out, own)}
    return list_written(out, [path for path in own if path not in foreign])


def refuse_foreign_files(out: Path, paths: Sequence[Path]) -> None:
    """Stop before files that no run of ours wrote are replaced.

    Args:
        out: The output folder.
        paths: What is there and would be replaced.

    Raises:
        UsageError: Some of it isn't ours, or was changed since.
    """
    refuse_foreign(out, [fault for _, fault in _find_foreign(out, paths)], "synfill train")


def _find_foreign(out: Path, paths: Sequence[Path]) -> list[tuple[Path, str]]:
    """Those of some files of known names that no run of ours wrote, or that were changed since;
    and why, as `refuse_foreign` shows it.
    """
    names = {path: path.relative_to(out).as_posix() for path in paths}
    record = read_record(out / RUN, TrainingRecord, ignore_damage=True)
    if record is None and not os.path.lexists(out / RUN):
        return list(names.items())
    if record is None or record.files is None:
        # It is damaged; or a version without hashes wrote it, which only wrote where it had left
        # its records: the names must do.
        return [(path, names[path]) for path in paths if path.is_symlink() or not path.is_file()]
    began = (out / RUN).stat().st_mtime_ns if record.is_open else None
    comparer = Comparer()
    found = []
    for path, name in names.items():
        if path.name == METHOD and path.is_file() and not path.is_symlink():
            # A record, damaged maybe, but never a user's work.
            continue
        if began is not None and not path.is_symlink() and path.stat().st_mtime_ns >= began:
            continue
        found += [(path, fault) for fault in comparer.find_fault(out, name, record.files.get(name))]
    return found
