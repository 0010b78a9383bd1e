"""`synfill recipes`: list, show and copy the shipped recipes; say what a recipe's keys mean."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from synfill.cli.help_layout import App
from synfill.cli.output import say, stdout

recipes = App(
    no_args_is_help=True,
    help="The recipes that ship with the package: list them, read them, copy one to edit it; and "
    "what a recipe's keys mean.",
)
NameArgument = Annotated[
    str, typer.Argument(help="A recipe's name, as synfill recipes list shows it.")
]
_KINDS = {"training": "synfill train", "balance": "synfill balance"}


@recipes.command("list")
def list_() -> None:
    """List the shipped recipes: the name, which command takes it, what it is.

    Example: [bold]synfill recipes list[/bold]
    """
    from synfill.config.recipes.shipped import list_recipes

    found = list_recipes()
    names = max(len(recipe.name) for recipe in found)
    for recipe in found:
        columns = f"{recipe.name:{names}}  {_KINDS[recipe.kind]:15}  "
        say(columns + recipe.description)


@recipes.command()
def show(name: NameArgument) -> None:
    """Print a shipped recipe as it is. Its header says how to run it and what it needs.

    Example: [bold]synfill recipes show demo[/bold]
    """
    from synfill.config.recipes.shipped import find_shipped

    # Not through the console, which would wrap lines and take [0] for markup.
    sys.stdout.write(find_shipped(name).path.read_text(encoding="utf-8"))


@recipes.command("help")
def help_(
    key: Annotated[
        str | None,
        typer.Argument(
            help="A key, as it stands in a recipe: stages.mix, data.synthetic, stages.0.lr. "
            "Default: all.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Say what a recipe's keys mean: what they may be, their defaults, what they do.

    Example: [bold]synfill recipes help stages.mix[/bold]
    """
    from synfill.config.recipes.keys import BALANCE, all_keys, find_keys

    keys = all_keys() if key is None else find_keys(key)
    console = stdout()
    for found in keys:
        console.print(Text(found.path, "bold"), soft_wrap=True)
        default = found.default if found.default == "needed" else f"default: {found.default}"
        paragraphs = [f"{found.kind}; {default}", found.meaning]
        if found.path == BALANCE:
            paragraphs.append("Its keys are the options of: synfill balance --help")
            paragraphs += _balance_keys() if key is not None else ()
        for text in paragraphs:
            wrapped = textwrap.wrap(text, console.width - 2, break_on_hyphens=False)
            console.print(Text(textwrap.indent("\n".join(wrapped), "  ")), soft_wrap=True)


def _balance_keys() -> Iterator[str]:
    """The keys of a recipe's balanced dataset, one by one, with those that are no options."""
    from synfill.config.balance import PROMPTS, WHAT, BalanceSettings
    from synfill.config.generator import GENERATOR
    from synfill.config.settings import appearance

    for name, field in BalanceSettings.model_fields.items():
        shown = appearance(field)
        if shown["in_files_only"] or shown["panel"] in (WHAT, PROMPTS, GENERATOR):
            yield f"{name}: {field.description}"


@recipes.command()
def copy(
    name: NameArgument,
    path: Annotated[
        Path | None,
        typer.Argument(help="The new file, or a folder for it.", show_default="./NAME.yaml"),
    ] = None,
) -> None:
    """Copy a shipped recipe, to be edited. A file that is there already stays as it is.

    Example: [bold]synfill recipes copy demo mine.yaml[/bold]
    """
    from synfill.config.recipes.shipped import copy_recipe

    written, command = copy_recipe(name, path)
    say(f"Wrote {written}. Edit it, then:")
    say(f"  {command}")
