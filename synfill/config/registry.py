"""What a user chooses by name: the components of one kind, where each is, and a field for them.

A component is a pydantic model in a file of its own: its `name` is a `Literal`, its other fields
are its options (with descriptions), its docstring's first line says what it is. A registry knows
components by name and imports the file of one when it is asked for it, so that neither a list of
names nor `--help` costs an import. Knows no component: `components.py` lists them.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    ValidatorFunctionWrapHandler,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from synfill.config.problems import across_fields, find_problems, nearest, shown
from synfill.errors import UsageError, suggest


class Component(BaseModel):
    """Something that a user chooses by name, with its options.

    A subclass has a field `name: Literal["x"] = "x"`; its other fields are its options.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    def __str__(self) -> str:
        """Its name, and the options that aren't their defaults: "mixup (alpha 0.4)"."""
        given = {key: value for key, value in self if value != type(self).model_fields[key].default}
        options = ", ".join(f"{key} {value}" for key, value in given.items())
        return f"{name_of(self)} ({options})" if options else name_of(self)


def name_of(component: Component | type[Component], key: str = "name") -> str:
    """The name by which a component is chosen."""
    return str(type_of(component).model_fields[key].default)


def describe(component: Component | type[Component]) -> str:
    """What a component is: the first line of its docstring, without the full stop."""
    doc = inspect.getdoc(type_of(component)) or ""
    return doc.partition("\n")[0].removesuffix(".")


def type_of(component: Component | type[Component]) -> type[Component]:
    """A component's class."""
    return component if isinstance(component, type) else type(component)


class Registry:
    """The components of one kind.

    Args:
        kind: What one is, for messages: "loss".
        plural: What several are: "losses".
        homes: Where each is, by name, in the order in which they are listed:
            "synfill.training.losses.cross_entropy:CrossEntropy".
        key: The key that chooses one in a mapping; a component's field of this name is its name.
    """

    def __init__(self, kind: str, plural: str, homes: Mapping[str, str], key: str = "name") -> None:
        self.kind = kind
        self.plural = plural
        self.key = key
        self._homes = dict(homes)
        self._added: dict[str, type[Component]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in the order in which they are listed."""
        return (*self._homes, *self._added)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self._homes or name in self._added)

    def __iter__(self) -> Iterator[type[Component]]:
        return (self[name] for name in self.names)

    def __getitem__(self, name: str) -> type[Any]:
        """The component of a name.

        Raises:
            UsageError: There is none; the nearest is named.
        """
        if name in self._added:
            return self._added[name]
        if name not in self._homes:
            raise UsageError(
                f"There is no {self.kind} '{name}'.", suggest(name, self.names, self.plural)
            )
        module, _, attribute = self._homes[name].partition(":")
        found: type[Any] = getattr(import_module(module), attribute)
        return found

    def add(self, component: type[Component]) -> type[Component]:
        """Make a component known in this process; may decorate its class.

        Raises:
            ValueError: Another one has its name.
        """
        name = name_of(component, self.key)
        if name in self:
            raise ValueError(f"there is a {self.kind} '{name}' already")
        self._added[name] = component
        return component

    @contextmanager
    def added(self, component: type[Component]) -> Iterator[type[Component]]:
        """Make a component known for a while."""
        try:
            yield self.add(component)
        finally:
            self._added.pop(name_of(component, self.key), None)

    def parse(self, value: Any) -> Component:
        """A component from what a user wrote: its name, or a mapping of `name` and options.

        Raises:
            PydanticCustomError: There is no such component, or an option is wrong.
        """
        if isinstance(value, Component):
            return value
        options = value if isinstance(value, Mapping) else {self.key: value}
        name = options.get(self.key)
        if not isinstance(name, str) or name not in self:
            near = nearest(name, self.names) if isinstance(name, str) else None
            one_of = "one of " if len(self.names) > 1 else ""
            message = f"should be {one_of}{', '.join(self.names)}, not {shown(name)}" + (
                f"; did you mean '{near}'?" if near else ""
            )
            if isinstance(value, Mapping):
                raise across_fields([((self.key,), message)])
            raise PydanticCustomError("unknown_component", "{message}", {"message": message})
        component = self[name]
        if problems := find_problems(component, dict(options)):
            raise across_fields([(one.path or (self.key,), one.message) for one in problems])
        parsed: Component = component.model_validate(dict(options))
        return parsed

    @staticmethod
    def dump(component: Component) -> Any:
        """A component as a user would write it: its name alone where its options are defaults."""
        given = component.model_dump(mode="json", exclude_defaults=True)
        given.pop("name", None)
        name = name_of(component)
        return {"name": name} | given if given else name


class Chosen:
    """Marks a settings field as a component of a registry: `Annotated[Component, Chosen(LOSSES)]`.

    The field takes a name, a mapping of `name` and options, or a component; it is written back as
    a user would write it.
    """

    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    def __repr__(self) -> str:
        return f"one of {self.registry.plural}"

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """The field's schema, which asks the registry when a value is checked, not before."""
        return core_schema.no_info_plain_validator_function(
            self.registry.parse,
            serialization=core_schema.plain_serializer_function_ser_schema(self.registry.dump),
        )


class Kinds:
    """Marks a settings field as a mapping of one kind of several, which the registry's key names.

    The annotation is that of the kind that is meant where the key is left out, so that what is
    wrong in it is found key by key: `Annotated[StageSettings, Kinds(STAGES, "sgd")]`. The value is
    a component of the registry.
    """

    def __init__(self, registry: Registry, default: str) -> None:
        self.registry = registry
        self.default = default

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """The field's schema."""

        def check(value: Any, validate: ValidatorFunctionWrapHandler) -> Component:
            known = self.registry
            given = value.get(known.key, self.default) if isinstance(value, Mapping) else None
            if isinstance(value, Component) or given not in (None, self.default):
                return known.parse(value)
            settings = validate(value)
            kind: type[Component] = known[self.default]
            return kind.model_construct(settings.model_fields_set, **dict(settings))

        return core_schema.no_info_wrap_validator_function(
            check,
            handler(source),
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda value, info: value.model_dump(mode=info.mode), info_arg=True
            ),
        )
