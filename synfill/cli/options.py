"""Commands' parameters from the fields of settings, and those that every command has."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, get_origin, get_type_hints

import typer
from pydantic.fields import FieldInfo

from synfill.cli.output import set_verbosity
from synfill.config.problems import members
from synfill.config.settings import Settings, appearance

Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Say more.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing but results and warnings.")]


@dataclass(frozen=True)
class OptionsOf:
    """Marks a command's parameter that gets, by name, the options that a user gave.

    Attributes:
        settings: Whose fields are options of the command, in the parameter's place. Their
            defaults aren't among what is given: a settings file may stand in between.
    """

    settings: type[Settings]

    def fields(self) -> dict[str, FieldInfo]:
        """The fields that are options of the command."""
        return {
            name: field
            for name, field in self.settings.model_fields.items()
            if not appearance(field)["in_files_only"]
        }


def command_of(function: Callable[..., None], has_verbosity: bool = True) -> Callable[..., None]:
    """A function as Typer takes it: with an option for each field of settings, and -v and -q."""
    hints = get_type_hints(function, include_extras=True)
    marked: dict[str, set[str]] = {}
    parameters = []
    for name, parameter in inspect.signature(function).parameters.items():
        mark = next((m for m in _metadata(hints[name]) if isinstance(m, OptionsOf)), None)
        if mark is None:
            parameters.append(parameter.replace(annotation=hints[name]))
            continue
        options = [
            inspect.Parameter(
                key,
                parameter.KEYWORD_ONLY,
                default=_default(field),
                annotation=annotated_option(field, key),
            )
            for key, field in mark.fields().items()
        ]
        marked[name] = {option.name for option in options}
        parameters += options
    for name, annotation in (("verbose", Verbose), ("quiet", Quiet)) if has_verbosity else ():
        parameters.append(
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation
            )
        )

    @functools.wraps(function)
    def command(**arguments: Any) -> None:
        set_verbosity(arguments.pop("verbose", False), arguments.pop("quiet", False))
        for name, keys in marked.items():
            taken = {key: arguments.pop(key) for key in keys}
            arguments[name] = {key: value for key, value in taken.items() if value is not None}
        function(**arguments)

    # Typer reads them.
    del command.__wrapped__
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [one.replace(kind=one.KEYWORD_ONLY) for one in parameters]
    )
    return command


def annotated_option(field: FieldInfo, name: str) -> Any:
    """A field of settings as the type of a command's parameter."""
    shown = appearance(field)
    kind = _kind(field.annotation, shown["is_text"])
    help_text = field.description
    if shown["is_argument"]:
        argument = typer.Argument(help=help_text, metavar=shown["metavar"], show_default=False)
        return Annotated[kind if field.is_required() else kind | None, argument]
    flags = [shown["flag"] or f"--{name.replace('_', '-')}"] if kind is bool else []
    return Annotated[
        kind | None,
        typer.Option(
            *flags,
            help=help_text,
            metavar=shown["metavar"],
            rich_help_panel=shown["panel"],
            show_default=shown["shows_default"],
        ),
    ]


def _default(field: FieldInfo) -> Any:
    """What stands for an option that isn't given: None, where the settings have the default."""
    if field.is_required():
        return inspect.Parameter.empty
    return field.default if appearance(field)["shows_default"] else None


def _kind(annotation: Any, is_text: bool) -> Any:
    """What the command line makes of what is typed; the settings make the rest of it."""
    kinds = [kind for kind in members(annotation) if kind is not NoneType]
    if is_text or str in kinds:
        return str
    if Path in kinds:
        return Path
    return list[str] if get_origin(kinds[0]) is tuple else kinds[0]


def _metadata(annotation: Any) -> tuple[Any, ...]:
    return getattr(annotation, "__metadata__", ())
