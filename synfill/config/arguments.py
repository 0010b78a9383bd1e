"""Wrong argument names of the Python API: told with the nearest right one. Knows only errors."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from synfill.errors import UsageError, suggest

_P = ParamSpec("_P")
_R = TypeVar("_R")


def checks_names(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Make a function raise UsageError, with the nearest right name, for an unknown argument."""
    parameters = inspect.signature(function).parameters

    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        for name in kwargs:
            if name not in parameters:
                raise UsageError(
                    f"synfill.{function.__name__} has no argument '{name}'.",
                    suggest(name, parameters, "arguments"),
                )
        return function(*args, **kwargs)

    return call
