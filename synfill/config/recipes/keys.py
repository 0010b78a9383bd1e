"""What each key of a recipe means, from the settings' own descriptions: text for a person.

The names, kinds, ranges and defaults are those of the models in `training.py`, the meanings those
of their docstrings; components say of themselves what they are. Nothing is written down a second
time here.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from synfill.config.components import STAGES
from synfill.config.problems import models_in, wanted
from synfill.config.recipes.draft import SHORT_FORMS
from synfill.config.recipes.settings import Recipe
from synfill.config.registry import Chosen, Component, Registry, describe, name_of
from synfill.errors import UsageError, suggest

SECTIONS: Mapping[str, type[BaseModel]] = {
    ".".join(key for key in path if key != "0"): model
    for path, model in models_in(Recipe)
    if model.model_fields
}
"""Every mapping of a recipe: the path of its keys. A list's entries go by the list's own path."""

BALANCE = "data.synthetic.balance"
_SIGNS = {Ge: "at least", Gt: "more than", Le: "at most", Lt: "less than"}
_ATTRIBUTE = re.compile(r"^    (\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)


@dataclass(frozen=True)
class Key:
    """A key of a recipe.

    Attributes:
        path: Where it stands: "stages.batch_size".
        kind: What its value may be, in words.
        default: Its default, in words.
        meaning: What it does.
    """

    path: str
    kind: str
    default: str
    meaning: str


def all_keys() -> list[Key]:
    """Every key, section by section; below a component's key those of its options."""
    keys = [key for section, model in SECTIONS.items() for key in _keys_of_model(section, model)]
    kinds = [kind for kind in STAGES if name_of(kind, STAGES.key) != "sgd"]
    return keys + [key for kind in kinds for key in _keys_of_kind(kind)]


def find_keys(wanted_key: str) -> list[Key]:
    """The keys that a user means.

    Args:
        wanted_key: A path ("data.synthetic", "stages.0.lr", "methods.mine.0.lr"), or a key's last
            part where that tells ("mix").

    Returns:
        The key, followed by the keys below it; several where a last part stands in several places.

    Raises:
        UsageError: There is no such key; the nearest is named.
    """
    parts = [part for part in wanted_key.strip().lower().replace("-", "_").split(".") if part]
    if parts[:1] == ["methods"] and len(parts) > 1:
        # A method's stages have the same keys.
        parts = ["stages", *parts[2:]]
    path = ".".join(part for part in parts if not part.isdigit())
    keys = all_keys()
    found = [key for key in keys if key.path == path]
    found += [key for key in keys if path and key.path.startswith(f"{path}.")]
    if not found and path.startswith(f"{BALANCE}."):
        found = [key for key in keys if key.path == BALANCE]
    if not found and "." not in path:
        found = [key for key in keys if key.path.rpartition(".")[2] == path]
    if not found:
        known = [key.path for key in keys]
        near = next((key for key in known if path and key.endswith(f".{path}")), None)
        last = {key.rpartition(".")[2]: key for key in known}
        hint = suggest(path, [*known, *last] if "." not in path else known, "keys")
        raise UsageError(
            f"A recipe has no key '{wanted_key}'.",
            (f"Did you mean '{near}'? " if near else "")
            + f"{hint.partition('Known keys')[0]}synfill recipes help lists all keys.",
        )
    return found


def _keys_of_model(section: str, model: type[BaseModel]) -> Iterator[Key]:
    meanings = _meanings(model)
    for name, field in model.model_fields.items():
        path = f"{section}.{name}" if section else name
        registry = _registry(field)
        kind = wanted(Literal[STAGES.names]) if path == "stages.kind" else _kind(field)
        meaning = meanings[name].replace("None", "null")
        if registry is not None:
            kind = f"{wanted(Literal[registry.names])} or a mapping (name and options)"
            listed = (f"{name_of(one)}: {describe(one)}" for one in registry)
            meaning = f"{meaning} {'; '.join(listed)}."
        yield Key(path, kind + _short_form(section, name), _default(field), meaning)
        if registry is not None:
            yield from _options_of(path, registry)


def _options_of(path: str, registry: Registry) -> Iterator[Key]:
    """The options of a registry's components; one that several have alike stands once."""
    owners: dict[tuple[str, str], list[type[Component]]] = {}
    for component in registry:
        for name, field in component.model_fields.items():
            if name != registry.key:
                owners.setdefault((name, str(field.description)), []).append(component)
    for (name, meaning), components in owners.items():
        field = components[0].model_fields[name]
        names = ", ".join(name_of(component) for component in components)
        yield Key(f"{path}.{name}", _kind(field), _default(field), f"Of {names}: {meaning}")


def _keys_of_kind(kind: type[Component]) -> Iterator[Key]:
    """The keys of a stage of another kind than sgd."""
    for name, field in kind.model_fields.items():
        if name != STAGES.key and field.description:
            meaning = f"Of kind: {name_of(kind, STAGES.key)}. {field.description}"
            yield Key(f"stages.{name}", _kind(field), _default(field), meaning)


def _registry(field: FieldInfo) -> Registry | None:
    """The registry of which a field takes a component, if it does."""
    return next((one.registry for one in field.metadata if isinstance(one, Chosen)), None)


def _short_form(section: str, name: str) -> str:
    path = (*filter(None, section.split(".")), name)
    return f", or its {SHORT_FORMS[path]} alone" if path in SHORT_FORMS else ""


def _meanings(model: type[BaseModel]) -> dict[str, str]:
    """The section "Attributes" of a class's docstring."""
    text = inspect.getdoc(model) or ""
    _, _, listed = text.partition("Attributes:\n")
    return {match[1]: " ".join(match[2].split()) for match in _ATTRIBUTE.finditer(listed)}


def _kind(field: FieldInfo) -> str:
    kinds = wanted(field.annotation)
    ranges = [
        f"{words} {_number(getattr(bound, sign.__name__.lower()))}"
        for bound in _bounds(field)
        for sign, words in _SIGNS.items()
        if isinstance(bound, sign)
    ]
    return f"{kinds}, {' and '.join(ranges)}" if ranges else kinds


def _bounds(field: FieldInfo) -> list[Any]:
    return [*field.metadata, *(m for one in get_args(field.annotation) for m in _metadata_of(one))]


def _metadata_of(annotation: Any) -> Sequence[Any]:
    metadata: Sequence[Any] = getattr(annotation, "__metadata__", ())
    return [inner for one in metadata for inner in getattr(one, "metadata", [one])]


def _default(field: FieldInfo) -> str:
    value = field.default
    if field.is_required():
        return "needed"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, BaseModel):
        return "as its keys say"
    if value is None or value == {}:
        return "null" if value is None else "{}"
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return _number(value) if isinstance(value, int | float) else str(value)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
