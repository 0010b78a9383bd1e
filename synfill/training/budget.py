"""How long each method of a comparison trains: as many optimizer steps as the recipe's own stages.

An epoch of a few images is a few steps: with equally many epochs, a method that sees the real
images alone would train a fraction of what the others do, and lose for that. So in a comparison
an epoch of any method's stage counts as many steps as an epoch of the recipe's own stage, on that
stage's own images. Numpy only: no pixels, no torch.
"""

from __future__ import annotations

from collections.abc import Sequence

from synfill.config.recipes.settings import Budget, Recipe, Stage, StageSettings
from synfill.training.images.known import Known
from synfill.training.sampling.order import plan_epoch


def steps_per_epoch(stage: Stage, images: Known, processes: int) -> int:
    """Optimizer steps of one pass of a stage over its images; 0 where it has none, or isn't sgd.

    Args:
        stage: The stage.
        images: All training images.
        processes: How many processes share each batch.
    """
    if not isinstance(stage, StageSettings):
        return 0
    return len(plan_epoch(stage, images, processes).shares)


def epoch_steps(
    stages: Sequence[Stage],
    images: Known,
    own_stages: Sequence[Stage],
    own_images: Known,
    processes: int,
) -> tuple[int | None, ...]:
    """For each stage of a method the steps that its settings' epochs count as.

    A stage beyond the recipe's goes by the recipe's last one.

    Args:
        stages: The method's stages.
        images: All training images of the run.
        own_stages: The recipe's own stages.
        own_images: All training images that these would see.
        processes: How many processes share each batch.

    Returns:
        None where an epoch is one pass over the stage's own images: the two are the same, the
        stage counts in steps, or the recipe's stage has no images to count by.
    """
    own = [steps_per_epoch(stage, own_images, processes) for stage in own_stages]
    found: list[int | None] = []
    for position, stage in enumerate(stages):
        wanted = own[min(position, len(own) - 1)]
        is_other = wanted != steps_per_epoch(stage, images, processes)
        has_epochs = isinstance(stage, StageSettings) and stage.epochs is not None
        found.append(wanted if has_epochs and wanted and is_other else None)
    return tuple(found)


def budget_in_effect(recipe: Recipe, methods: Sequence[Sequence[StageSettings]]) -> Budget:
    """What a comparison's lengths go by: steps, too, where every stage counts in steps itself."""
    has_epochs = any(
        isinstance(stage, StageSettings) and stage.epochs is not None
        for stages in methods
        for stage in stages
    )
    return recipe.budget if has_epochs else "steps"
