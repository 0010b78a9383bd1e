"""Settings from what a caller gives: the Python API's signatures, and every problem at once."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import ParamSpec, TypeVar

from pydantic import ValidationError

from synfill.config.problems import find_problems
from synfill.config.settings import Settings
from synfill.errors import UsageError
from synfill.records import JsonObject

_P = ParamSpec("_P")
_R = TypeVar("_R")
_S = TypeVar("_S", bound=Settings)
LookCloser = Callable[[_S], Iterable[tuple[str, str]]]
"""Says what else is wrong with settings of the right kinds: (key, message) for each problem."""


def make_settings(
    model: type[_S],
    values: JsonObject,
    where: str,
    hint: str,
    lines: Mapping[str, int] | None = None,
    look_closer: LookCloser[_S] | None = None,
) -> _S:
    """Check settings as a whole: every problem is told at once.

    Args:
        model: The settings.
        values: What was given, by name.
        where: Where it stands, for the message ("settings.yaml", "The command line").
        hint: What says more: "synfill balance --help lists all options."
        lines: The lines of those that stand in a file.
        look_closer: Looks at settings that are of the right kinds.

    Raises:
        UsageError: A name is unknown (the nearest right one is named) or a value not of its kind.
    """
    # A generator can be looked at once only.
    values = {key: list(one) if isinstance(one, Iterator) else one for key, one in values.items()}
    problems = find_setting_problems(model, values, look_closer)
    if not problems:
        return model.model_validate(values)
    places = {key: f" (line {line})" for key, line in (lines or {}).items()}
    listed = (
        f"  {key}{places.get(key.partition('.')[0], '')}: {message}" if key else f"  {message}"
        for key, message in problems
    )
    raise UsageError(f"{where} can't be used:\n" + "\n".join(listed), hint)


def find_setting_problems(
    model: type[_S], values: JsonObject, look_closer: LookCloser[_S] | None = None
) -> list[tuple[str, str]]:
    """All that is wrong with settings: a key and a message for each problem."""
    found = find_problems(model, values)
    problems = [(".".join(problem.path), problem.message) for problem in found]
    if look_closer is None:
        return problems
    broken = {problem.path[0] for problem in found if problem.path}
    try:
        settings = model.model_validate({k: v for k, v in values.items() if str(k) not in broken})
    except ValidationError:
        return problems  # what is left makes no sense without what is broken
    return problems + [(key, text) for key, text in look_closer(settings) if key not in broken]


def takes_settings(model: type[Settings]) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Give a function that passes its `**options` on to settings their signature and help.

    They take the place of `**options` among the arguments in its docstring. Fields of which the
    function has a parameter of its own are that parameter's.
    """

    def show(function: Callable[_P, _R]) -> Callable[_P, _R]:
        signature = inspect.signature(function)
        own = [one for one in signature.parameters.values() if one.kind is not one.VAR_KEYWORD]
        known = {one.name for one in own}
        fields = {name: one for name, one in model.model_fields.items() if name not in known}
        options = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.get_default(),
                annotation=field.annotation,
            )
            for name, field in fields.items()
        ]
        listed = [
            textwrap.fill(
                f"{name}: {field.description}",
                100,
                initial_indent=" " * 4,
                subsequent_indent=" " * 8,
                break_on_hyphens=False,
            )
            for name, field in fields.items()
        ]
        doc = inspect.getdoc(function) or ""
        function.__doc__ = doc.replace("    **options", "\n".join(listed), 1)
        function.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[*own, *options]
        )
        return function

    return show
