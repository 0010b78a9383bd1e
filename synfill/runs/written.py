"""Files as they were written: sizes and hashes, by which a user's are never taken for ours."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from synfill.records import JsonObject

INFO_FILES = frozenset(
    f"synfill/{name}"
    for name in (
        "run.json", "plan.parquet", "verdicts.parquet", "skipped.csv", "histogram.png",
        "samples.png",
    )
)  # fmt: skip
"""What stands in a balanced dataset beside the card and the data."""


class FileEntry(BaseModel):
    """A file as it was written: its size, and the SHA-256 of its content, in hexadecimal."""

    # Strict: "3" and true are no sizes.
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


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
