"""The recipe files that ship with the package: list them, find them, copy them.

Knows what kind of file each is and what its header says, not what its keys mean.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from synfill.config.yaml import read_yaml
from synfill.errors import UsageError, suggest
from synfill.files import recipes_folder

Kind = Literal["training", "balance"]


@dataclass(frozen=True)
class ShippedRecipe:
    """A recipe file that ships with the package.

    Attributes:
        name: The name that commands take.
        path: The file.
        kind: training: a recipe of `synfill train`; balance: settings of `synfill balance`.
        description: The first sentence of its header comment.
    """

    name: str
    path: Path
    kind: Kind
    description: str


def list_recipes() -> list[ShippedRecipe]:
    """All shipped recipe files: training recipes first, then by name."""
    found = [_describe(path) for path in sorted(recipes_folder().glob("*.yaml"))]
    return sorted(found, key=lambda recipe: (recipe.kind != "training", recipe.name))


def find_shipped(name: str) -> ShippedRecipe:
    """The shipped recipe file of a name.

    Raises:
        UsageError: There is none; the nearest name is in the message.
    """
    path = recipes_folder() / f"{name}.yaml"
    if Path(name).name != name or not path.is_file():
        names = [recipe.name for recipe in list_recipes()]
        raise UsageError(
            f"There is no shipped recipe '{name}'.",
            f"{suggest(name, names, 'recipes')} synfill recipes list says what they are.",
        )
    return _describe(path)


def find_recipe(name_or_path: str) -> Path:
    """The file that a user means: a path, or the name of a shipped recipe.

    A name without a folder and a suffix is a shipped recipe's, unless there is such a file.

    Raises:
        UsageError: There is neither such a file nor such a recipe.
    """
    path = Path(name_or_path)
    is_name = path.name == name_or_path and not path.suffix
    if path.is_file() or not is_name:
        return path
    if path.is_dir() and not (recipes_folder() / f"{name_or_path}.yaml").is_file():
        # A folder, which can't be read: more to the point than that no recipe is called so.
        return path
    return find_shipped(name_or_path).path


def copy_recipe(name: str, target: Path | None = None) -> tuple[Path, str]:
    """Copy a shipped recipe file, to be edited.

    Args:
        name: The shipped recipe's name.
        target: The new file, or a folder for it; None for NAME.yaml in the current folder.

    Returns:
        The new file, and the command that runs it.

    Raises:
        UsageError: There is no such recipe, the file is there already, or its folder is a file.
    """
    recipe = find_shipped(name)
    path = target or Path(f"{name}.yaml")
    if path.is_dir():
        path = path / f"{name}.yaml"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        holder = next(above for above in path.parents if above.exists())
        raise UsageError(
            f"{holder} is a file, not a folder.",
            f"Name another place: synfill recipes copy {name} PATH",
        ) from None
    try:
        # "x": also against a file that came to be in this moment.
        with recipe.path.open("rb") as source, path.open("xb") as file:
            shutil.copyfileobj(source, file)
    except FileExistsError:
        raise UsageError(
            f"{path} is there already, and is left as it is.",
            f"Name another file: synfill recipes copy {name} PATH",
        ) from None
    shown = str(path) if path.suffix or path.parent != Path() else f"./{path}"
    return path, _command(recipe.kind, shown)


def _command(kind: Kind, name: str) -> str:
    shown = f"'{name}'" if " " in name else name
    if kind == "training":
        return f"synfill train {shown}"
    return f"synfill balance SOURCE --settings {shown}"


def _describe(path: Path) -> ShippedRecipe:
    content = read_yaml(path, "a recipe")
    kind: Kind = "training" if "stages" in content else "balance"
    return ShippedRecipe(path.stem, path, kind, " ".join(_first_sentence(path)))


def _first_sentence(path: Path) -> Iterator[str]:
    for line in path.read_text(encoding="utf-8").splitlines():
        text = line.removeprefix("#").strip()
        if not line.startswith("#") or not text:
            return
        start, end, _ = text.partition(". ")
        yield start + end.strip()
        if end or text.endswith("."):
            return
