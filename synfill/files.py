"""Files on a disk that may fill up, names that may be hostile.

Knows nothing of the project but its errors.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import io
import os
import re
import shutil
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

from synfill.errors import RunError

_MANY_FILES = 1000


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table as CSV, with line feeds."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Write a file under a temporary name, sync it, and rename it last.

    The file is there whole or not at all, whenever the process is killed.

    Raises:
        RunError: The disk is full.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with no_room(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # Neither a pipe is waited for, nor a link followed.
            temporary.unlink(missing_ok=True)
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


@contextlib.contextmanager
def no_room(folder: Path) -> Iterator[None]:
    """Turn "no space left on device" into a message that says where, and how to go on."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise RunError(
            f"The disk is full: {folder} takes no more ({error.strerror}).",
            "Everything finished before is kept. Make room and run the same command again.",
        ) from error


def sync_folder(folder: Path) -> None:
    """Make a rename in this folder durable, where the system can (Windows can't)."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sync_tree(folder: Path) -> None:
    """Make everything below a folder durable, names and contents.

    Thousands of small files (an ImageFolder) take one sync of the whole system instead of one
    each, which would take hours on a slow disk.
    """
    files, folders = [], []
    for place, _, names in os.walk(folder):
        folders.append(Path(place))
        files += [Path(place, name) for name in names]
    if len(files) > _MANY_FILES and hasattr(os, "sync"):
        os.sync()
        return
    for path in files:
        # Windows syncs only what is open for writing.
        with path.open("r+b") as file:
            os.fsync(file.fileno())
    for path in reversed(folders):
        sync_folder(path)


def free_bytes(folder: Path) -> int:
    """Free bytes on the disk that a folder is or would be on."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


_WINDOWS_NAMES = re.compile(r"^(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)


def safe_name(name: str) -> str:
    """A file or folder name for any text: one path part, never empty, hidden, or `..`.

    Letters of every script stay. What no file system should be asked to hold becomes `_`, and
    then a short digest of the text is added, so that different texts keep different names.
    """
    text = unicodedata.normalize("NFC", name)
    plain = "".join(c if c.isalnum() or c in " -_.,()+&'" else "_" for c in text).strip(" .")
    if _WINDOWS_NAMES.match(plain):
        plain = f"_{plain}"
    while len(plain.encode()) > 100:
        plain = plain[:-1]
    if plain and plain == name:
        return plain
    # A file's name may hold bytes that aren't UTF-8.
    digest = hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=4).hexdigest()
    return f"{plain.strip(' .') or '_'}-{digest}"


def user_cache() -> Path | None:
    """The folder for what only saves time; None for a user without a home (in a container)."""
    found = os.environ.get("XDG_CACHE_HOME", "")
    try:
        # A relative one is to be ignored, says the XDG specification.
        cache = Path(found) if os.path.isabs(found) else Path("~/.cache").expanduser()
    except RuntimeError:
        return None
    return cache / "synfill"


def recipes_folder() -> Path:
    """Where the shipped recipes are: inside an installed package, beside an editable one."""
    package = Path(__file__).parent
    inside = package / "recipes"
    return inside if inside.is_dir() else package.parent / "recipes"


def format_bytes(count: float) -> str:
    """Bytes for a person: 1.5 GB."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError("unreachable")
