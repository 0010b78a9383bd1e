"""How the command line's help looks: commands in groups, flags without a type beside them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from synfill.cli.options import command_of
from synfill.config.balance import PROMPTS, RESULT, WHAT
from synfill.config.dataset import FOLDERS
from synfill.config.generator import GENERATOR
from synfill.config.push import HUB

PANELS = {
    "To begin with": ("demo", "init"),
    "From a dataset to a classifier": ("analyze", "balance", "train", "predict", "push"),
    "Besides": ("recipes", "env"),
}
"""The commands in the order of the help."""
OPTION_PANELS = (RESULT, FOLDERS, WHAT, PROMPTS, GENERATOR, HUB)
"""The parts of a command's help, below those options that have none."""


def _plain(params: list[Any]) -> list[Any]:
    """A flag takes no value: nothing is to stand beside it."""
    for param in params:
        if getattr(param, "is_flag", False):
            param.metavar = ""
        elif getattr(param, "multiple", False) and param.metavar is None:
            # Each time one value: not "list[str]".
            param.metavar = "<str>"
    return params


class Command(TyperCommand):
    """A command."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, as the help shows them."""
        params = _plain(super().get_params(ctx))
        return sorted(params, key=lambda one: _place(getattr(one, "rich_help_panel", None)))


def _place(panel: str | None) -> int:
    return OPTION_PANELS.index(panel) if panel in OPTION_PANELS else -1


class Group(TyperGroup):
    """A group of commands; those of `PANELS` stand in its order."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, as the help shows them."""
        return _plain(super().get_params(ctx))

    def list_commands(self, ctx: Any) -> list[str]:
        """The commands' names, in the order of the help."""
        known = [(name, panel) for panel, names in PANELS.items() for name in names]
        here = [(name, panel) for name, panel in known if name in self.commands]
        for name, panel in here:
            # Typer's commands and groups have it; its panels stand in the order of the commands.
            self.commands[name].rich_help_panel = panel  # type: ignore[attr-defined]
        placed = [name for name, _ in here]
        return placed + [name for name in super().list_commands(ctx) if name not in placed]


class App(typer.Typer):
    """Typer with these commands and groups."""

    def __init__(self, **options: Any) -> None:
        super().__init__(cls=Group, **options)

    def command(
        self, name: str | None = None, has_verbosity: bool = True, **options: Any
    ) -> Callable[[Any], Any]:
        """Register a command; its help is its docstring, broken only where the terminal ends.

        Args:
            name: Its name; None for the function's.
            has_verbosity: Whether it takes -v and -q.
            options: Of Typer's.
        """
        register = super().command

        def registered(function: Any) -> Any:
            text = inspect.getdoc(function) or ""
            options.setdefault("help", re.sub(r"(?<!\n)\n(?!\n)", " ", text))
            register(name, cls=Command, **options)(command_of(function, has_verbosity))
            return function

        return registered
