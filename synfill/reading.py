"""Files and texts that a stranger may have made: read with limits, and held to their folder.

Every record, card and metadata file goes through here. Knows nothing of the project but its
errors.
"""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path
from typing import Any

from synfill.errors import RunError

LARGEST_RECORD = 64 << 20
"""Bytes of a JSON or YAML file above which it isn't one of ours, nor a card."""

_PART = 1 << 22
_DEEPEST = 100
# Strings are matched so that brackets in them don't count.
_BRACKETS = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)


class NotRegular(OSError):
    """What is to be read is no regular file: a pipe, a device, a socket, a folder."""


def read_regular(path: Path, largest: int = LARGEST_RECORD) -> bytes:
    """Read a file whole, if it is a regular one and not too large.

    A pipe that nobody writes to isn't waited for, and a device without an end isn't read.

    Args:
        path: The file; links are followed.
        largest: Bytes above which it is refused.

    Raises:
        FileNotFoundError, PermissionError: As `open` raises them.
        NotRegular: It is a pipe, a device, a socket or a folder.
        OSError: It is too large, or can't be read.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise NotRegular(f"it is {_kind(found.st_mode)}, not a regular file")
        # Part by part: read(n) takes memory for all of n at once. And one more than allowed, as
        # files below /proc say that they are empty.
        parts, left = [], largest + 1
        while left and (part := file.read(min(left, _PART))):
            parts.append(part)
            left -= len(part)
    if not left:
        raise OSError(f"it is too large (larger than {largest:,} bytes)")
    return b"".join(parts)


def regular(path: Path) -> Path:
    """The path itself, if it is a regular file: for readers that open it themselves.

    Raises:
        FileNotFoundError, PermissionError: As `os.stat` raises them.
        NotRegular: It is a pipe, a device, a socket or a folder.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise NotRegular(f"it is {_kind(mode)}, not a regular file")
    return path


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFIFO: "a pipe",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFSOCK: "a socket",
        stat.S_IFDIR: "a folder",
    }
    return kinds.get(stat.S_IFMT(mode), "something else")


def parse_json(text: bytes | str) -> Any:
    """JSON as Python values, with a limit of depth.

    Raises:
        ValueError: It isn't JSON, isn't UTF-8, or is nested more than 100 deep (json's own
            parser would end the process, or raise RecursionError).
    """
    if isinstance(text, bytes):
        # UnicodeDecodeError is a ValueError.
        text = text.decode("utf-8-sig")
    _check_depth(text)
    return json.loads(text)


def check_json_lines(content: bytes) -> None:
    """Hold JSON lines to the same limit of depth, for readers that parse them themselves.

    Raises:
        ValueError: They aren't UTF-8, or are nested more than 100 deep.
    """
    for line in map(bytes.strip, content.split(b"\n")):
        # A line of its own, with few brackets, can't be deep; that is quickly seen.
        whole = not line or (line.startswith(b"{") and line.endswith(b"}"))
        if not whole or line.count(b"{") + line.count(b"[") > _DEEPEST:
            _check_depth(content.decode("utf-8-sig"))
            return


def _check_depth(text: str) -> None:
    depth = 0
    for found in _BRACKETS.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(found[0], 0)
        if depth > _DEEPEST:
            raise ValueError(f"it is nested more than {_DEEPEST} deep")


def within(folder: Path, *parts: str) -> Path:
    """A path below a folder, for writing: the one place where names from data become paths.

    Args:
        folder: The folder that nothing may leave.
        parts: Names or relative paths with '/', from data or not.

    Returns:
        The path. No link on the way to it, of those that exist, leads out of the folder.

    Raises:
        RunError: It would lie outside, at the folder itself, or has a part that no file can have.
    """
    path = folder.joinpath(*parts)
    named = "/".join(parts)
    try:
        if "\0" in named:
            # Only the parents are resolved, which would show it.
            raise ValueError("embedded null byte")
        root = folder.resolve()
        # The parent: a last part that is a link is replaced by a rename, not written through.
        resolved = path.parent.resolve() / path.name
    except (OSError, ValueError, RuntimeError) as error:
        raise RunError(f"{named!r} can't be a file in {folder}: {error}.") from None
    plain = os.path.normpath(path)
    if (
        path.name in ("", "..")
        or not resolved.is_relative_to(root)
        or resolved == root
        or not Path(plain).is_relative_to(os.path.normpath(folder))
    ):
        raise RunError(
            f"{named!r} would be written outside of {folder}.",
            "The name comes from the dataset: rename it there.",
        )
    return path
