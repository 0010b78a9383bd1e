"""Whether files are the same as before, found without reading them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

SETTLED = 2.0
"""Seconds after which every change shows in a file's time: some file systems count in twos."""


@dataclass(frozen=True)
class FileStates:
    """What the file system says of some files.

    Attributes:
        digest: Identifies their folder, names, sizes and times.
        bytes: Of all of them.
        newest: When the last of them was changed, in nanoseconds since 1970.
    """

    digest: str
    bytes: int
    newest: int

    @property
    def stamp(self) -> str | None:
        """The digest; None while a change could go unseen, as it may fall on the same time."""
        return self.digest if time.time_ns() - self.newest > SETTLED * 1e9 else None


def look_at(root: Path, names: Iterable[str]) -> FileStates:
    """Ask the file system for some files. One that isn't there counts as such.

    Args:
        root: A folder.
        names: Paths below it.
    """
    digest = blake2b(os.fsencode(os.path.realpath(root)), digest_size=16)
    total = newest = 0
    for name in names:
        digest.update(b"\0" + name.encode("utf-8", "surrogatepass") + b"\0")
        try:
            found = os.stat(os.path.join(root, name))
        except (OSError, ValueError):
            continue
        # The second time changes with what keeps the first, as copying with its times does.
        state = f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"
        digest.update(state.encode())
        total += found.st_size
        newest = max(newest, found.st_mtime_ns, found.st_ctime_ns)
    return FileStates(digest.hexdigest(), total, newest)


def look_below(root: Path) -> FileStates:
    """Ask the file system for every file below a folder."""
    names = []
    for folder, below, files in os.walk(root):
        below.sort()
        names += [os.path.join(folder, file) for file in sorted(files)]
    return look_at(root, names)
