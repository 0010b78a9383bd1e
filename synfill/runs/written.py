"""Files as they were written: sizes and hashes, by which a user's are never taken for ours."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import Field

from synfill.errors import UsageError
from synfill.records import JsonObject
from synfill.runs.record import Record
from synfill.wording import list_lines

INFO_FILES = frozenset(
    f"synfill/{name}"
    for name in (
        "run.json", "plan.parquet", "verdicts.parquet", "skipped.csv", "histogram.png",
        "samples.png",
    )
)  # fmt: skip
"""What stands in a balanced dataset beside the card and the data."""


class FileEntry(Record):
    """A file as it was written: its size, and the SHA-256 of its content, in hexadecimal."""

    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


def is_plain_path(name: str) -> bool:
    """Whether a path from a record stays below its folder, and is spelled in one way only."""
    parts = name.split("/")
    return not any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts)


def hash_file(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def list_written(folder: Path, paths: Iterable[Path] | None = None) -> dict[str, JsonObject]:
    """Files for a record's `files`: path below the folder, with '/' -> bytes and SHA-256.

    Args:
        folder: The folder.
        paths: Files in it; None for all.
    """
    chosen = folder.rglob("*") if paths is None else paths
    return {
        path.relative_to(folder).as_posix(): {
            "bytes": path.stat().st_size,
            "sha256": hash_file(path),
        }
        for path in sorted(chosen)
        if path.is_file()
    }


class Comparer:
    """Compares files with what a record says, and reads none twice that wasn't touched since."""

    def __init__(self) -> None:
        self._same: dict[Path, tuple[int, int, int]] = {}

    def is_same(self, path: Path, entry: FileEntry) -> bool:
        """Whether a file is a regular one (no link) with that size and hash."""
        try:
            status = path.lstat()
            if not stat.S_ISREG(status.st_mode) or status.st_size != entry.bytes:
                return False
            signature = (status.st_ino, status.st_size, status.st_mtime_ns)
            if self._same.get(path) != signature:
                if hash_file(path) != entry.sha256:
                    return False
                self._same[path] = signature
        except OSError:
            return False
        return True

    def find_fault(self, out: Path, name: str, entry: FileEntry | None) -> list[str]:
        """Why a file isn't what a record lists, for `refuse_foreign`; [] if it is.

        Args:
            out: The output folder.
            name: The file's path below it, with '/'.
            entry: What the record says of it; None if it isn't listed.
        """
        if entry is None:
            return [name]
        return [] if self.is_same(out / name, entry) else [f"{name} (changed since)"]


def refuse_foreign(out: Path, foreign: Sequence[str], writer: str) -> None:
    """Stop before files that no run of ours wrote, or that were changed since, are replaced.

    Args:
        out: The output folder.
        foreign: They, by path, with the reason where it isn't plain.
        writer: Who didn't write them: "synfill".

    Raises:
        UsageError: There are such.
    """
    if foreign:
        raise UsageError(
            f"In {out} stands what {writer} didn't write, where it would write:\n"
            f"{list_lines(foreign)}",
            "Move it elsewhere, or choose another --out.",
        )
