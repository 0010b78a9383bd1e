"""Files on a disk that may fill up, names that may be hostile, YAML as people write it.

Knows nothing of the project but its errors.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import yaml

from synfill.errors import RunError, UsageError


class _Yaml12Loader(yaml.SafeLoader):
    """SafeLoader with YAML 1.2's scalars: `no` is a word, `3e-4` a number, a key stands once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen and isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key.value}' stands twice", key.start_mark
                )
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


_Yaml12Loader.yaml_implicit_resolvers = {
    first: [
        (tag, regexp)
        for tag, regexp in resolvers
        if tag not in ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")
        and not tag.endswith((":float", ":int"))
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Yaml12Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Yaml12Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789")
)
_Yaml12Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$"),
    list("-+0123456789."),
)


def read_yaml(path: Path, what: str, largest: int = 1 << 20) -> Any:
    """Read a YAML or JSON file that a user wrote (JSON is YAML).

    Args:
        path: The file.
        what: What it should be, for the message ("a prompts file").
        largest: Bytes above which it is refused: such a file was named by mistake.

    Raises:
        UsageError: It isn't there, isn't text, is too large, or isn't YAML (with the line).
    """
    try:
        if path.stat().st_size > largest:
            raise UsageError(f"{path} is too large for {what} ({path.stat().st_size:,} bytes).")
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"There is no file {path}, which should be {what}.") from None
    except (IsADirectoryError, PermissionError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} can't be read as {what}: {error}.") from None
    try:
        # The loader is a SafeLoader; only its reading of plain scalars is narrower.
        return yaml.load(text, Loader=_Yaml12Loader)
    except yaml.YAMLError as error:
        raise UsageError(
            f"{path} is not valid YAML: {error}", "Correct the place that is named."
        ) from None


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
            with temporary.open("wb") as file:
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
    return f"{plain.strip(' .') or '_'}-{hashlib.blake2b(name.encode(), digest_size=4).hexdigest()}"


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
