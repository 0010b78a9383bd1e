"""The methods that a recipe defines and compares: their names, and what they take over. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from synfill.config.components import METHODS
from synfill.config.problems import nearest
from synfill.config.recipes.settings import Recipe
from synfill.files import safe_name
from synfill.records import JsonObject

OWN = "recipe"
"""The method that is the recipe's own stages."""

_SEED_FOLDER = re.compile(r"seed-\d+")
_TAKEN_FILES = ("balanced", "recipe.yaml", "run.json", "method.json", "metrics.json",
                "predictions.parquet", "comparison.md", "comparison.json", "skipped.csv",
                "trackers", "learning-curves.png", "confusion.png", "class-sizes.png",
                "comparison.png")  # fmt: skip


@dataclass(frozen=True)
class StagePlace:
    """Where a stage of a method comes from, to name it in messages.

    Attributes:
        title: What to call it: "stages.1", "methods.mine.0"; "ce, stage 1" of a built-in method.
        key: Where the recipe has its batch size, learning rate and lengths: "stages.1".
        built_in: The built-in method that decides what the stage sees and trains; None where the
            recipe does, under `key`.
    """

    title: str
    key: str
    built_in: str | None


def locate_stage(recipe: Recipe, name: str, position: int) -> StagePlace:
    """The place of one of the stages that `stages_of` gives, from 0."""
    if name == OWN or name in recipe.methods:
        key = f"stages.{position}" if name == OWN else f"methods.{name}.{position}"
        return StagePlace(key, key, None)
    # A recipe of one stage lends it to a built-in method's second one.
    of_recipe = min(position, len(recipe.stages) - 1)
    return StagePlace(f"{name}, stage {position + 1}", f"stages.{of_recipe}", name)


def compare_problems(
    names: Sequence[Any], own: Iterable[str], has_synthetic: bool
) -> list[tuple[int, str]]:
    """What is wrong with the names of a comparison.

    Args:
        names: The names, as the user wrote them.
        own: The methods that the recipe defines.
        has_synthetic: Whether the recipe has synthetic images, as far as can be seen from it.

    Returns:
        For each problem the position in `names`, and a message. Nothing is said of what isn't a
        text.
    """
    known = [*own, *METHODS.names, OWN]
    # Said once, however many names are unknown.
    all_known = f"; known: {', '.join(known)}"
    problems: list[tuple[int, str]] = []
    for position, name in enumerate(names):
        if not isinstance(name, str):
            continue
        if not name:
            problems.append((position, "a method's name is empty"))
        elif name not in known:
            near = nearest(name, known)
            meant = f"; did you mean '{near}'?" if near else all_known
            all_known = all_known if near else ""
            problems.append((position, f"unknown method '{name}'{meant}"))
        elif name in names[:position]:
            problems.append((position, f"'{name}' stands twice"))
        elif not has_synthetic and name in METHODS and METHODS[name].needs_synthetic():
            message = f"'{name}' needs synthetic images, and data.synthetic is none"
            problems.append((position, message))
    return problems


def name_problem(name: str) -> str | None:
    """Why a recipe can't define a method of this name, if it can't; it names a folder, too."""
    if name in METHODS or name == OWN:
        return "is a built-in method: give it another name"
    if name in _TAKEN_FILES or _SEED_FOLDER.fullmatch(name) or safe_name(name) != name:
        return "names a file or folder of the results: give it another name"
    return None


def merge_stage(base: JsonObject, changes: JsonObject) -> JsonObject:
    """A stage with changes, before it is checked.

    `steps` in the changes takes the place of `epochs` and the other way round; warm-up and
    milestones that count in the other unit fall away then, shares of the stage don't. A schedule
    other than step has no milestones.
    """
    kept = dict(base)
    for given, other in (("steps", "epochs"), ("epochs", "steps")):
        if changes.get(given) is not None and kept.get(other) is not None:
            kept.pop(other)
            for key in ("warmup", "milestones"):
                if not _are_shares(kept.get(key)):
                    kept.pop(key, None)
    if changes.get("schedule", "step") != "step":
        kept.pop("milestones", None)
    return kept | changes


def _are_shares(value: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    return all(isinstance(one, int | float) and one < 1 for one in values)


def fill_in(methods: Any, stages: Any) -> Any:
    """Methods whose stages leave things out, with the recipe's stages filled in; unchecked values.

    What isn't a list of mappings stays as it is: the check that follows says so.
    """
    if not isinstance(methods, dict):
        return methods
    bases = stages if isinstance(stages, list) else []
    return {
        name: [_filled(stage, bases, position) for position, stage in enumerate(own)]
        if isinstance(own, list)
        else own
        for name, own in methods.items()
    }


def _filled(stage: Any, bases: Sequence[Any], position: int) -> Any:
    base = bases[position] if position < len(bases) else {}
    if not isinstance(stage, dict) or not isinstance(base, dict):
        return stage
    if "kind" in stage and stage["kind"] != base.get("kind", "sgd"):
        return stage
    return merge_stage(base, stage)
