"""YAML that a user writes or reads: plain values with their lines, and back.

ruamel.yaml knows YAML's grammar; here stands what a plain word means (YAML 1.2's core schema, in
which `no` is a word and `3e-4` a number) and what is refused: keys that stand twice, tags, and
nesting or aliases that would take all memory. Knows nothing of what the values are for.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.docinfo import DocInfo
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    StreamEndEvent,
)

from synfill.errors import UsageError
from synfill.reading import NotRegular, read_regular

YamlPath = tuple[str, ...]
"""Where a value stands: ("stages", "0", "epochs")."""

_DEEPEST = 50
_MOST_NODES = 200_000
_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?")
_TAG = "tag:yaml.org,2002:"
_TAGS = {"null": type(None), "bool": bool, "int": int, "float": float}


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
        hint = "Write it to a file, and name that." if isinstance(error, NotRegular) else ""
        raise UsageError(f"{path} can't be read as {what}: {error}.", hint) from None
    return parse_yaml(text, str(path))


def parse_yaml(text: str, where: str) -> YamlDocument:
    """Read a YAML text that a user wrote.

    Args:
        text: The text.
        where: Where it stands, for the message.

    Raises:
        UsageError: It isn't YAML (with the line), or aliases make it endless.
    """
    try:
        return _Parser(text, where).document()
    except YAMLError as error:
        # The line is said beside the column already.
        said = re.sub(r"\^ \(line: \d+\)$", "^", str(error), flags=re.MULTILINE)
        raise UsageError(
            f"{where} is not valid YAML: {said}", "Correct the place that is named."
        ) from None


def format_yaml(content: Any) -> str:
    """Plain values as YAML that reads back as the same values, by readers of YAML 1.1 too."""
    writer = YAML(typ="safe", pure=True)
    writer.version = (1, 1)
    writer.default_flow_style = False
    writer.width = 100
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    # Of what YAML 1.1 takes for text, this alone is a number to YAML 1.2. The rest is loaded first.
    assert writer.resolver.versioned_resolver
    number = re.compile(f"^(?:{_FLOAT.pattern})$")
    writer.resolver.add_version_implicit_resolver(
        (1, 1), "tag:yaml.org,2002:float", number, list("-+.0123456789")
    )
    text = io.StringIO()
    writer.dump(content, text)
    return text.getvalue().partition("---\n")[2]  # without "%YAML 1.1"


class _Parser:
    """Makes the values of one document, event by event.

    Aliases count as what they stand for: a few can stand for a million values.
    """

    def __init__(self, text: str, where: str) -> None:
        self._reader = YAML(typ="safe", pure=True)
        _, self._events = self._reader.get_constructor_parser(text)
        # Messages name it.
        self._reader.reader.name = where
        # What YAML.parse does too: a directive (%YAML 1.2) is noted there.
        self._reader.doc_infos.append(DocInfo())
        self._anchored: dict[str, tuple[YamlPath, Any]] = {}
        self._lines: dict[YamlPath, int] = {}
        self._nodes = 0
        self._depth = 0

    def document(self) -> YamlDocument:
        """The values, and their lines."""
        content = None
        self._events.get_event()
        if not self._events.check_event(StreamEndEvent):
            self._events.get_event()
            content = self._value(())
            self._events.get_event()
            if not self._events.check_event(StreamEndEvent):
                _refuse("one document is expected, and here is another", self._events.peek_event())
        lines = {path: line for path, line in self._lines.items() if "<<" not in path}
        return YamlDocument(content, lines)

    def _value(self, path: YamlPath) -> Any:
        event = self._events.get_event()
        if isinstance(event, AliasEvent):
            if event.anchor not in self._anchored:
                _refuse(f"there is no '&{event.anchor}' before it", event)
            source, content = self._anchored[event.anchor]
            self._stand_again(content, source, path, event)
            return content
        self._enter(event)
        if isinstance(event, ScalarEvent):
            content = _scalar(event)
        elif isinstance(event, MappingStartEvent):
            content = self._mapping(path)
        else:
            content = self._sequence(path)
        self._depth -= 1
        if event.anchor:
            self._anchored[event.anchor] = path, content
        return content

    def _enter(self, event: Event) -> None:
        self._nodes += 1
        self._depth += 1
        if self._nodes > _MOST_NODES or self._depth > _DEEPEST:
            _refuse("too large or too deeply nested", event)

    def _sequence(self, path: YamlPath) -> list[Any]:
        values: list[Any] = []
        while not self._events.check_event(SequenceEndEvent):
            inner = (*path, str(len(values)))
            self._lines[inner] = self._events.peek_event().start_mark.line + 1
            values.append(self._value(inner))
        self._events.get_event()
        return values

    def _mapping(self, path: YamlPath) -> dict[Any, Any]:
        own: dict[Any, Any] = {}
        merged: dict[Any, Any] = {}
        names: set[str] = set()
        while not self._events.check_event(MappingEndEvent):
            event = self._events.peek_event()
            if not isinstance(event, ScalarEvent):
                _refuse("a key must be plain text", event)
            key = self._value(path)
            name = _name(key)
            if name in names:
                _refuse(f"the key '{name}' stands twice", event)
            names.add(name)
            if key == "<<" and event.style is None:
                merged = self._merged(path, event)
            else:
                self._lines[(*path, name)] = event.start_mark.line + 1
                own[key] = self._value((*path, name))
        self._events.get_event()
        return merged | own

    def _merged(self, path: YamlPath, event: Event) -> dict[Any, Any]:
        """The keys that `<<` takes over from other mappings, of which the first counts."""
        others = (*path, "<<")
        value = self._value(others)
        sources = value if isinstance(value, list) else [value]
        if not all(isinstance(source, dict) for source in sources):
            _refuse("<< takes a mapping, or a list of mappings", event)
        merged: dict[Any, Any] = {}
        for number, source in reversed(list(enumerate(sources))):
            inside = (*others, str(number)) if isinstance(value, list) else others
            self._stand_again(source, inside, path, event)
            merged |= source
        return merged

    def _stand_again(self, value: Any, source: YamlPath, path: YamlPath, event: Event) -> None:
        """Count a value at a second place; its lines there are those of the first."""
        self._enter(event)
        entries: Iterable[tuple[Any, Any]] = ()
        if isinstance(value, dict | list):
            entries = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in entries:
            first, again = (*source, _name(key)), (*path, _name(key))
            self._lines[again] = self._lines.get(first, event.start_mark.line + 1)
            self._stand_again(inner, first, again, event)
        self._depth -= 1


def _scalar(event: ScalarEvent) -> Any:
    """What a scalar means: of plain words YAML 1.2's null, booleans and decimal numbers."""
    text, tag = event.value, str(event.tag or "").removeprefix(_TAG)
    if tag in ("str", "!") or (not tag and event.style is not None):
        return text
    value: Any = text
    try:
        if text in _WORDS or (text.lower() in _WORDS and text in (text.title(), text.upper())):
            value = _WORDS[text.lower()]
        elif _INTEGER.fullmatch(text):
            value = int(text)
        elif _FLOAT.fullmatch(text):
            value = float(text)
        if tag == "float" and type(value) is int:
            value = float(value)
    except (ValueError, OverflowError):
        _refuse("a number is too long", event)
    if tag and type(value) is not _TAGS.get(tag):
        _refuse(f"a value isn't of its tag ({event.tag})", event)
    return value


def _name(key: Any) -> str:
    """A key or position as paths name it."""
    return key if isinstance(key, str) else json.dumps(key)


def _refuse(problem: str, event: Event) -> NoReturn:
    raise MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
