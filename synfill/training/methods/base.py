"""Methods: named lists of stages, which a comparison runs on the same data, splits and seeds.

The built-in ones are made of the recipe's own first two stages, so that they differ in what the
name says and in nothing else; a recipe can define more. Knows no file, no data, no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from synfill.config.components import METHODS
from synfill.config.recipes.methods import OWN, StagePlace, locate_stage
from synfill.config.recipes.settings import Recipe
from synfill.config.recipes.stages import StageSettings
from synfill.config.registry import Component, name_of
from synfill.errors import UsageError, suggest

Changes = dict[str, Any]
"""Settings of a stage."""


class Method(Component):
    """A built-in method: the recipe's first two stages with changes; a subclass has a `name`.

    Attributes:
        first: Of the recipe's first stage, which trains the whole network.
        second: Of its second stage, which trains the classifier alone; None for no such stage.
    """

    first: ClassVar[Changes]
    second: ClassVar[Changes | None] = None

    @classmethod
    def needs_synthetic(cls) -> bool:
        """Whether it is pointless without synthetic images."""
        return "synthetic" in cls.first["data"]

    def make(self, stages: Sequence[StageSettings]) -> tuple[StageSettings, ...]:
        """The method's stages, of the recipe's."""
        whole = {"sampling": "as-is", "mix": "none", "trainable": "all", "reinit_classifier": False}
        first = change(stages[0], **whole | self.first)
        if self.second is None:
            return (first,)
        alone = {"trainable": "classifier", "mix": "none"}
        return first, change(_second_stage(stages), **alone | self.second)


def stages_of(recipe: Recipe, name: str) -> tuple[StageSettings, ...]:
    """The stages of a method: the recipe's own (OWN), one that it defines, or a built-in one.

    Raises:
        UsageError: There is no such method, or it can't be made of the recipe's stages.
    """
    if name == OWN:
        return recipe.stages
    if name in recipe.methods:
        return recipe.methods[name]
    if name not in METHODS:
        known = [*recipe.methods, *METHODS.names, OWN]
        raise UsageError(f"There is no method '{name}'.", suggest(name, known, "methods"))
    method = METHODS[name]()
    assert isinstance(method, Method)
    if not isinstance(recipe.stages[0], StageSettings):
        raise UsageError(
            f"The method {name_of(method)} is made of a first stage of the kind sgd, and the "
            "recipe's is of another one.",
            "Compare methods that the recipe defines (methods).",
        )
    return method.make(recipe.stages)


def locate_stages(
    recipe: Recipe, methods: Mapping[str, Sequence[StageSettings]]
) -> list[tuple[StagePlace, int, StageSettings]]:
    """Every stage of methods, with where it comes from and its position in its method."""
    return [
        (locate_stage(recipe, name, position), position, stage)
        for name, stages in methods.items()
        for position, stage in enumerate(stages)
    ]


def change(stage: StageSettings, **changes: Any) -> StageSettings:
    """A stage with other settings."""
    return type(stage).model_validate(stage.model_dump() | changes)


def _second_stage(stages: Sequence[StageSettings]) -> StageSettings:
    """The recipe's second stage, or a tenth of its first one with a fresh classifier."""
    if len(stages) > 1 and isinstance(stages[1], StageSettings):
        return stages[1]
    first = stages[0]
    shorter = {
        unit: max(1, length // 10)
        for unit, length in (("epochs", first.epochs), ("steps", first.steps))
        if length is not None
    }
    # No warm-up and no milestones: they counted for a stage ten times as long.
    plain = {"name": None, "schedule": "cosine", "milestones": (), "warmup": 0.0}
    return change(first, **shorter | plain | {"reinit_classifier": True})
