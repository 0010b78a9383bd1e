"""Files on a disk that may fill up, names that may be hostile, YAML as people write it.

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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import yaml

from synfill.errors import RunError, UsageError
from synfill.reading import NotRegular, read_regular

_DEEPEST = 50
_MOST_NODES = 200_000
_TOO_LARGE = "too large or too deeply nested"


class _Yaml12Loader(yaml.SafeLoader):
    """SafeLoader with YAML 1.2's scalars: `no` is a word, `3e-4` a number, a key stands once."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        # Here: what is nested thousands deep takes the parser itself minutes.
        self.depth = getattr(self, "depth", 0) + 1
        if self.depth > _DEEPEST:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.constructor.ConstructorError(None, None, _TOO_LARGE, mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def compose_mapping_node(self, anchor: dict[Any, yaml.Node] | None) -> yaml.MappingNode:
        # Here, and not when the mapping is made: `<<` has mixed others' keys in by then.
        node: yaml.MappingNode = super().compose_mapping_node(anchor)  # type: ignore[arg-type]
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key must be plain text", key.start_mark
                )
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key.value}' stands twice", key.start_mark
                )
            seen.add(key.value)
        return node


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


class _Yaml12Dumper(yaml.SafeDumper):
    """SafeDumper that quotes each text that YAML 1.1 or 1.2 would take for something else."""


_Yaml12Dumper.yaml_implicit_resolvers = {
    first: yaml.SafeDumper.yaml_implicit_resolvers.get(first, [])
    + _Yaml12Loader.yaml_implicit_resolvers.get(first, [])
    for first in {
        *yaml.SafeDumper.yaml_implicit_resolvers,
        *_Yaml12Loader.yaml_implicit_resolvers,
    }
}

YamlPath = tuple[str, ...]
"""Where a value stands: ("stages", "0", "epochs")."""

_MANY_FILES = 1000


@dataclass(frozen=True)
class YamlDocument:
    """What a YAML text holds, and where.

    Attributes:
        content: The text's values.
        lines: The line of every key and list entry, from 1.
    """

    content: Any
    lines: Mapping[YamlPath, int]


def read_yaml(path: Path, what: str, largest: int = 1 << 20) -> Any:
    """Read a YAML or JSON file that a user wrote (JSON is YAML).

    Args:
        path: The file.
        what: What it should be, for the message ("a prompts file").
        largest: Bytes above which it is refused: such a file was named by mistake.

    Raises:
        UsageError: It isn't there, isn't text, is too large, or isn't YAML (with the line).
    """
    return read_yaml_document(path, what, largest).content


def read_yaml_document(path: Path, what: str, largest: int = 1 << 20) -> YamlDocument:
    """Like read_yaml, with the lines."""
    try:
        text = read_regular(path, largest).decode("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"There is no file {path}, which should be {what}.") from None
    except (OSError, UnicodeDecodeError) as error:
        if os.path.isdir(path):
            raise UsageError(f"{path} is a folder, not {what}.") from None
        if isinstance(error, NotRegular):
            hint = "Write it to a file, and name that."
            raise UsageError(f"{path} can't be read as {what}: {error}.", hint) from None
        raise UsageError(f"{path} can't be read as {what}: {error}.") from None
    return parse_yaml(text, str(path))


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table as CSV, with line feeds."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def parse_yaml(text: str, where: str) -> YamlDocument:
    """Read a YAML text that a user wrote.

    Args:
        text: The text.
        where: Where it stands, for the message.

    Raises:
        UsageError: It isn't YAML (with the line), or aliases make it endless.
    """
    try:
        # The loader is a SafeLoader; only its reading of plain scalars is narrower.
        loader = _Yaml12Loader(text)
        # Marks in error messages name it; a text's own is "<unicode string>".
        loader.name = where
        node = loader.get_single_node()
        if node is not None:
            _measure(node, {})
        lines = {} if node is None else _find_lines(node)
        content = None if node is None else loader.construct_document(node)
        if node is not None and content is not None:
            # Once more: `<<` has given mappings the keys of others, which keep their lines.
            lines = _find_lines(node)
    except yaml.YAMLError as error:
        raise UsageError(
            f"{where} is not valid YAML: {error}", "Correct the place that is named."
        ) from None
    except (ValueError, LookupError, AttributeError, TypeError, ArithmeticError) as error:
        # What the constructors raise for `!!int x`, `!!bool x`, `!!timestamp x`, `!!int ""`.
        raise UsageError(f"{where} is not valid YAML: a value isn't of its tag ({error})") from None
    return YamlDocument(content, lines)


def _measure(node: yaml.Node, measured: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """How many nodes there are below one, aliases expanded, and how deep; itself counts.

    An alias may stand for a list that holds the alias itself, or for a million others.
    """
    if id(node) not in measured:
        measured[id(node)] = (0, _DEEPEST)  # what a node that holds itself finds
        inner = [] if isinstance(node, yaml.ScalarNode) else node.value
        parts = [
            part for entry in inner for part in (entry if isinstance(entry, tuple) else [entry])
        ]
        below = [_measure(part, measured) for part in parts]
        size, depth = 1 + sum(n for n, _ in below), 1 + max((d for _, d in below), default=0)
        if size > _MOST_NODES or depth > _DEEPEST:
            raise yaml.constructor.ConstructorError(None, None, _TOO_LARGE, node.start_mark)
        measured[id(node)] = (size, depth)
    return measured[id(node)]


def _find_lines(root: yaml.Node) -> dict[YamlPath, int]:
    lines: dict[YamlPath, int] = {}
    waiting: list[tuple[YamlPath, yaml.Node]] = [((), root)]
    while waiting:
        path, node = waiting.pop()
        entries: list[tuple[str, yaml.Node, yaml.Node]] = []
        if isinstance(node, yaml.MappingNode):
            entries = [(str(key.value), key, value) for key, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            entries = [(str(index), value, value) for index, value in enumerate(node.value)]
        for name, marked, value in entries:
            inner = (*path, name)
            lines[inner] = marked.start_mark.line + 1
            waiting.append((inner, value))
    return lines


def format_yaml(content: Any) -> str:
    """Plain values as YAML that reads back as the same values, by readers of YAML 1.1 too."""
    return yaml.dump(content, Dumper=_Yaml12Dumper, sort_keys=False, allow_unicode=True, width=100)


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
