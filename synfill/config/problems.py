"""What is wrong with settings that a user wrote: every problem at once, in plain words.

Takes a pydantic model and plain values; says for each problem where it stands. Knows neither files
nor what the settings are for. pydantic's own messages name union members and parsers, stop at a
model's first broken field before they look across fields, and take `true` for 1.
"""

from __future__ import annotations

import contextlib
import copy
import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

KeyPath = tuple[str, ...]
"""Where a value stands: ("stages", "0", "epochs")."""

_ACROSS = "across_fields"
_TOP = "at the top level"
_OF_KIND = ("_type", "_parsing", "_error", "_from_float", "_parsing_size")
"""How pydantic's names of errors end that mean: this is another kind of value."""


@dataclass(frozen=True)
class Problem:
    """Something wrong.

    Attributes:
        path: The key it stands at.
        message: What, as a sentence's end: "should be a number, not 'x'".
        meant: The value that was most likely meant, as YAML, where the message doesn't say so.
    """

    path: KeyPath
    message: str
    meant: str = ""


def across_fields(problems: Sequence[tuple[Sequence[str], str]]) -> PydanticCustomError:
    """What a model's validator raises for fields that don't fit each other.

    Args:
        problems: For each problem the keys that play a part, the one to name first, and a message.
    """
    return PydanticCustomError(
        _ACROSS, "{message}", {"message": "; ".join(m for _, m in problems), "problems": problems}
    )


def find_problems(model: type[BaseModel], values: Any) -> list[Problem]:
    """All that is wrong with values that should fit a model; empty if they fit."""
    finder = _ProblemFinder(model, values, [], set())
    finder.check_booleans(model, values, ())
    finder.check_fields()
    # A model with a broken field isn't looked at as a whole: without the broken fields it is.
    finder.check_models()
    return finder.problems


@dataclass
class _ProblemFinder:
    model: type[BaseModel]
    values: Any
    problems: list[Problem]
    broken: set[KeyPath]
    """Keys of which nothing more is said: they are wrong, or misspelt elsewhere."""

    def add(self, path: KeyPath, message: str, meant: str = "") -> None:
        problem = Problem(path, message, meant)
        if problem not in self.problems:
            self.problems.append(problem)
        self.broken.add(path)

    def check_booleans(self, annotation: Any, value: Any, path: KeyPath) -> None:
        """`true` where a number is wanted, which pydantic takes for 1."""
        if isinstance(value, bool):
            options = list(members(annotation))
            # A model without fields stands for the components of a registry, which checks itself.
            is_open = any(_is_model(option) and not option.model_fields for option in options)
            if not is_open and not any(option is bool or option is Any for option in options):
                self.add(path, _not_of_kind(annotation, value))
        for key, entry in _entries(value):
            inner = _descend(annotation, key)
            if inner is not None and inner is not Any:
                self.check_booleans(inner, entry, (*path, key))

    def check_fields(self) -> None:
        """Problems of single keys."""
        located = [
            (*_locate(self.values, error["loc"], error["type"] == "missing"), error)
            for error in self._errors(self.values)
        ]
        # Missing keys last: a misspelt one isn't told twice.
        for path, _, error in sorted(located, key=lambda one: bool(one[2]["type"] == "missing")):
            kind = str(error["type"])
            if kind == _ACROSS or path in self.broken:
                continue
            if kind in ("extra_forbidden", "invalid_key"):
                self._unknown(path)
            elif kind == "too_short" and _value_at(self.values, path):
                # pydantic counts the good entries only; the bad ones are told.
                continue
            elif kind == "missing":
                self.add(path, "is missing")
            elif kind.endswith(_OF_KIND) and kind != "value_error":
                # One member of a union, where another one has more to say.
                deeper = any(
                    other[: len(path)] == path and (len(other) > len(path) or named)
                    for other, named, another in located
                    if another is not error
                )
                if not (deeper and _is_container(_value_at(self.values, path))):
                    # The whole place: a short form stands for a key that isn't in the values.
                    annotation, value = _annotation_of(self.model, error["loc"]), error["input"]
                    self.add(path, _not_of_kind(annotation, value), _as_list(annotation, value))
            else:
                self.add(path, _message(error))

    def check_models(self) -> None:
        """Problems of entries of a list, and of keys, that don't fit each other; of none broken."""
        values = copy.deepcopy(self.values)
        # A list's last entries first: those before them keep their places.
        for path in sorted(self.broken, key=_in_order, reverse=True):
            if not _holds_models(_annotation_at(self.model, path)):
                _remove(values, path)
        unsure = self.broken | {path[:-1] for path in self.broken if path and path[-1].isdigit()}
        for error in self._errors(values):
            path, _ = _locate(values, error["loc"], False)
            # A list that is empty only because its entries were taken away is none.
            emptied = not _value_at(values, path) and _value_at(self.values, path)
            if error["type"] == "value_error" and path not in self.broken and not emptied:
                self.add(path, _message(error))
            if error["type"] != _ACROSS:
                continue
            for keys, message in error["ctx"]["problems"]:
                if not any((*path, key) in unsure for key in keys):
                    self.problems.append(Problem((*path, keys[0]), message))

    def _errors(self, values: Any) -> list[Any]:
        try:
            self.model.model_validate(values)
        except ValidationError as error:
            return list(error.errors())
        return []

    def _unknown(self, path: KeyPath) -> None:
        *above, name = path
        known = _known_keys(_annotation_at(self.model, tuple(above)))
        near = nearest(name, known)
        self.add(path, "unknown key; " + (_meant(near) or self._elsewhere(name, known)))
        if near and _value_at(self.values, (*above, near)) is None:
            self.broken.add((*above, near))

    def _elsewhere(self, name: str, known: Sequence[str]) -> str:
        homes = [home for home, one in models_in(self.model) if name in one.model_fields]
        if homes:
            return f"it belongs to {' or '.join('.'.join(home) or _TOP for home in homes)}"
        return f"known here: {', '.join(known)}"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that a misspelt one most likely means, whatever the case of its letters."""
    by_folded = {one.casefold(): one for one in known}
    near = difflib.get_close_matches(name.casefold(), list(by_folded), n=1)
    return by_folded[near[0]] if near else None


def _meant(near: str | None) -> str:
    return f"did you mean '{near}'?" if near else ""


def shown(value: Any) -> str:
    """A value as a message shows it: short, on one line."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list" if value else "an empty list"
        case str():
            return repr(value if len(value) <= 60 else value[:57] + "...")
    return str(value)[:60]


def _message(error: Any) -> str:
    context = error.get("ctx", {})
    found = f", not {shown(error['input'])}"
    match error["type"]:
        case "greater_than_equal":
            return f"should be at least {context['ge']:.15g}{found}"
        case "greater_than":
            return f"should be more than {context['gt']:.15g}{found}"
        case "less_than_equal":
            return f"should be at most {context['le']:.15g}{found}"
        case "less_than":
            return f"should be less than {context['lt']:.15g}{found}"
        case "finite_number":
            return f"should be a finite number{found}"
        case "string_pattern_mismatch":
            return (
                "should be at most 64 small letters, digits, '.', '_', '+' and '-', and start with "
                f"a letter or digit{found}"
            )
        case "too_short" | "string_too_short":
            return "is empty"
    message = str(error["msg"]).removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _not_of_kind(annotation: Any, value: Any) -> str:
    words = _choices(annotation)
    near = _meant(nearest(value, words)) if isinstance(value, str) else ""
    return f"should be {wanted(annotation)}, not {shown(value)}" + (f"; {near}" if near else "")


def _as_list(annotation: Any, value: Any) -> str:
    """A value that isn't a list as the list that is wanted there; "" where it can't be one."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    if isinstance(value, str) and nearest(value, _choices(annotation)):
        return ""  # one word misspelt is likelier, and is told
    parts = [part.strip() for part in str(value).split(",")]
    for option in members(annotation):
        if get_origin(option) in (tuple, list) and all(parts):
            entry = get_args(option)[0]
            if all(_can_be(entry, part) for part in parts):
                return f"[{','.join(parts)}]"
    return ""


def _can_be(annotation: Any, text: str) -> bool:
    """Whether a text that a user wrote can stand for such a value."""
    for option in members(annotation):
        if option is str or text in _choices(option):
            return True
        if option in (int, float):
            with contextlib.suppress(ValueError):
                option(text)
                return True
    return False


def _choices(annotation: Any) -> list[str]:
    options = list(members(annotation))
    return [str(v) for option in options if get_origin(option) is Literal for v in get_args(option)]


def wanted(annotation: Any) -> str:
    """What a value of an annotation may be, in words: "one of none, mixup or a list"."""
    words = []
    choices = _choices(annotation)
    if choices:
        words.append(("one of " if len(choices) > 1 else "") + ", ".join(choices))
    names = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "text",
        Path: "a path",
    }
    for option in members(annotation):
        if option in names:
            words.append(names[option])
        elif get_origin(option) in (tuple, list):
            words.append("a list")
        elif get_origin(option) is dict or _is_model(option):
            words.append("a mapping (key: value)")
    return " or ".join(words) or "something else"


def members(annotation: Any) -> Iterator[Any]:
    """The kinds of value that an annotation allows: the members of a union, or itself."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from members(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for member in get_args(annotation):
            yield from members(member)
    else:
        yield annotation


def _is_model(option: Any) -> bool:
    return isinstance(option, type) and issubclass(option, BaseModel)


def _is_container(value: Any) -> bool:
    return isinstance(value, dict | list | tuple)


def _descend(annotation: Any, key: str) -> Any:
    """The annotation of what stands under a key; None where there is no such key."""
    for option in members(annotation):
        if _is_model(option) and key in option.model_fields:
            return option.model_fields[key].annotation
        if get_origin(option) in (tuple, list) and key.isdigit():
            return get_args(option)[0]
        if get_origin(option) is dict:
            return get_args(option)[1]
    return None


def _annotation_at(model: type[BaseModel], path: KeyPath) -> Any:
    """The annotation at a key path; None for an unknown key."""
    annotation: Any = model
    for key in path:
        annotation = _descend(annotation, key)
    return annotation


def _annotation_of(model: type[BaseModel], loc: Sequence[str | int]) -> Any:
    """The annotation at one of pydantic's places, in which members of unions are named, too."""
    annotation: Any = model
    for part in map(str, loc):
        inner = _descend(annotation, part)
        annotation = annotation if inner is None else inner
    return annotation


def _known_keys(annotation: Any) -> list[str]:
    return [
        name for option in members(annotation) if _is_model(option) for name in option.model_fields
    ]


def models_in(annotation: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, type[BaseModel]]]:
    """Every mapping of a schema: its path ("0" for a list's first entry), and its model."""
    for option in members(annotation):
        if _is_model(option):
            yield path, option
            for name, field in option.model_fields.items():
                yield from models_in(field.annotation, (*path, name))
        elif get_origin(option) in (tuple, list):
            yield from models_in(get_args(option)[0], (*path, "0"))


def _holds_models(annotation: Any) -> bool:
    return any(
        # One without fields stands for the components of a registry.
        (_is_model(option) and bool(option.model_fields))
        or any(map(_holds_models, get_args(option)))
        for option in members(annotation)
    )


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from ((str(key), entry) for key, entry in value.items())
    elif isinstance(value, list | tuple):
        yield from ((str(index), entry) for index, entry in enumerate(value))


def _value_at(values: Any, path: KeyPath) -> Any:
    for key in path:
        values = dict(_entries(values)).get(key)
    return values


def _locate(values: Any, loc: Sequence[str | int], is_missing: bool) -> tuple[KeyPath, bool]:
    """The key path of one of pydantic's places, and whether a model of a union was named in it.

    Beside keys, a place names the members of unions: those aren't in the values.
    """
    path: list[str] = []
    named = False
    for position, part in enumerate(map(str, loc)):
        entries = dict(_entries(values))
        if part in entries:
            path.append(part)
            values = entries[part]
        elif is_missing and position == len(loc) - 1:
            path.append(part)
        else:
            named |= _names_model(part)
    return tuple(path), named


def _names_model(part: str) -> bool:
    """Whether a part of one of pydantic's places is a model in a union: "X", "function-...[X]"."""
    return part[:1].isupper() or part.startswith("function-")


def _in_order(path: KeyPath) -> list[str]:
    """Sorts paths by their keys, and a list's entries by their numbers."""
    return [key.zfill(9) if key.isdigit() else key for key in path]


def _remove(values: Any, path: KeyPath) -> None:
    """Take away what stands at a path, if something does; of a tuple the whole."""
    if not path:
        return
    above = _value_at(values, path[:-1])
    if isinstance(above, dict):
        for key in [key for key in above if str(key) == path[-1]]:
            del above[key]
    elif isinstance(above, list) and path[-1].isdigit():
        del above[int(path[-1])]
    elif isinstance(above, tuple):
        _remove(values, path[:-1])
