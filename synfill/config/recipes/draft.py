"""A recipe before it is checked: its values, their lines, and what `key=value` changes in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from synfill.config.problems import Problem, shown
from synfill.config.recipes.methods import merge_stage
from synfill.config.recipes.stages import StageSettings
from synfill.config.registry import Chosen
from synfill.config.yaml import YamlPath, parse_yaml
from synfill.errors import UsageError

_COMPONENTS = {
    key
    for key, field in StageSettings.model_fields.items()
    if any(isinstance(one, Chosen) for one in field.metadata)
}
# Of a message: characters of a line, and lines.
_LONGEST, _MOST = 400, 50
SHORT_FORMS: Mapping[YamlPath, str] = {
    ("model",): "name",
    ("data", "long_tail"): "imbalance_factor",
    ("data", "synthetic"): "source",
    ("data", "test"): "split",
}
"""Keys that may be written shorter: what the short form stands for."""


@dataclass
class Draft:
    """A recipe before it is checked.

    Attributes:
        values: Its values.
        lines: The line of every key of the file.
        given: Paths that overrides set.
    """

    values: Any
    lines: dict[YamlPath, int]
    given: list[YamlPath] = field(default_factory=list)

    def override(self, text: str) -> Problem | None:
        """Set one key; what is wrong with the override, if something is."""
        name, equals, written = text.partition("=")
        path = tuple(name.strip().split("."))
        if not equals or not all(path):
            self.given.append((text,))
            return Problem((text,), "an override is key=value, for example stages.0.epochs=10")
        self.given.append(path)
        try:
            # "*/class" is a layout: a value of its own has nothing that an alias could stand for.
            is_text = written.lstrip().startswith("*")
            value = written.strip() if is_text else parse_yaml(written, "the value").content
        except UsageError as error:
            return Problem(path, " ".join(error.message.split()))
        target = self.values
        for depth, key in enumerate(path[:-1]):
            if isinstance(target, list):
                if problem := _index_problem(target, path, depth):
                    return problem
                inner = target[int(key)]
            else:
                inner = _long_form(path[: depth + 1], target.get(key))
            if not isinstance(inner, dict | list):
                message = f"{'.'.join(path[: depth + 1])} is {shown(inner)} and has no keys"
                return Problem(path, message)
            target[int(key) if isinstance(target, list) else key] = inner
            target = inner
        return self._set(target, path, value)

    def _set(self, target: Any, path: YamlPath, value: Any) -> Problem | None:
        key = path[-1]
        if isinstance(target, list):
            if problem := _index_problem(target, path, len(path) - 1):
                return problem
            target[int(key)] = value
            self._forget_lines(path)
            return None
        if _is_stage(path[:-1]):
            merged = merge_stage(target, {key: value})
        elif path[:-1] == ("data", "synthetic") and key in ("source", "balance"):
            merged = {key: value}
        else:
            merged = target | {key: value}
        target.clear()
        target.update(merged)
        self._forget_lines(path)
        return None

    def _forget_lines(self, path: YamlPath) -> None:
        """Of the keys below a path, which are the command line's now."""
        depth = len(path)
        for below in [one for one in self.lines if len(one) > depth and one[:depth] == path]:
            del self.lines[below]

    def use_underscores(self, path: YamlPath) -> None:
        """Take dashes in the names of a mapping's keys for underscores, as commands do."""
        values: Any = self.values
        for key in path:
            values = values.get(key) if isinstance(values, dict) else None
        if not isinstance(values, dict):
            return
        for key in [key for key in values if isinstance(key, str) and "-" in key]:
            plain = key.replace("-", "_")
            if plain not in values:
                values[plain] = values.pop(key)
                if (*path, key) in self.lines:
                    self.lines[(*path, plain)] = self.lines[(*path, key)]
                if (*path, key) in self.given:
                    self.given.append((*path, plain))

    def list_problems(self, problems: Sequence[Problem]) -> list[str]:
        """One line for each problem: key, place, message; in the file's order."""
        listed: dict[str, tuple[float, int]] = {}
        for position, problem in enumerate(problems):
            line = self._line(problem.path)
            place = {None: "", 0: " (on the command line)"}.get(line, f" (line {line})")
            name = ".".join(problem.path)
            text = f"  {name}{place}: {problem.message}"
            if problem.meant:
                key = f"{name}=" if problem.path in self.given else f"{problem.path[-1]}: "
                text += f"; did you mean '{key}{problem.meant}'?"
            if len(text) > _LONGEST:
                text = f"{text[: _LONGEST - 3]}..."
            listed.setdefault(text, (line or float("inf"), position))
        lines = sorted(listed, key=lambda text: listed[text])
        more = [f"  and {len(lines) - _MOST:,} more"] if len(lines) > _MOST else []
        return [*lines[:_MOST], *more]

    def _line(self, path: YamlPath) -> int | None:
        """The line of the key or of what holds it; 0 for the command line, None for the file."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.given:
                return 0
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        inside = [given for given in self.given if given[: len(path)] == path]
        return 0 if inside else None


def unshared(value: Any) -> Any:
    """A copy in which nothing stands twice, as YAML's aliases make it: overrides change one.

    Keys that YAML takes for other things than text (`null`, `true`) are the texts that they are.
    """
    if isinstance(value, dict):
        words = {None: "null", True: "true", False: "false"}
        return {
            words[key] if key is None or isinstance(key, bool) else key: unshared(entry)
            for key, entry in value.items()
        }
    if isinstance(value, list):
        return [unshared(entry) for entry in value]
    return value


def _index_problem(entries: Sequence[Any], path: YamlPath, depth: int) -> Problem | None:
    key, name = path[depth], ".".join(path[:depth])
    if key.isdigit() and int(key) < len(entries):
        return None
    numbers = f"0 to {len(entries) - 1}" if len(entries) > 1 else "0" if entries else "none"
    if key.isdigit():
        return Problem(path, f"{name} has no entry {key}; it has {numbers}")
    return Problem(path, f"{name} is a list: name an entry by its number ({numbers}), not '{key}'")


def _long_form(path: YamlPath, value: Any) -> Any:
    """A key's value as the mapping that an override reaches into."""
    is_component = _is_stage(path[:-1]) and path[-1] in _COMPONENTS
    if value is None and is_component:
        return {"name": StageSettings.model_fields[path[-1]].default}
    if value is None or (path == ("data", "synthetic") and value in ("auto", "none")):
        return {}
    short = "name" if is_component else SHORT_FORMS.get(path)
    return {short: value} if short and not isinstance(value, dict | list) else value


def _is_stage(path: YamlPath) -> bool:
    return (len(path) == 2 and path[0] == "stages") or (len(path) == 3 and path[0] == "methods")
