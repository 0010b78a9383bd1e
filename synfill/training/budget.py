"""How long each method of a comparison trains: as many optimizer steps as the recipe's own stages.

An epoch of a few images is a few steps: with equally many epochs, a method that sees the real
images alone would train a fraction of what the others do, and lose for that. So in a comparison
an epoch of any method's stage counts as many steps as an epoch of the recipe's own stage, on that
stage's own images. Numpy only: no pixels, no torch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from synfill.config.training import Budget, Recipe, StageSettings
from synfill.training.sampling.order import batch_size_of, choose, cut_batches, epoch_length


def steps_per_epoch(
    stage: StageSettings, labels: NDArray[np.int64], synthetic: NDArray[np.bool_], processes: int
) -> int:
    """Optimizer steps of one pass of a stage over its images; 0 where it has none, or isn't sgd.

    Args:
        stage: The stage.
        labels: The class of every training image, shape (images,).
        synthetic: Of every training image whether it is synthetic, shape (images,).
        processes: How many processes share each batch.
    """
    if not isinstance(stage, StageSettings):
        return 0
    positions = choose(stage.data, synthetic)
    if not len(positions):
        return 0
    count = epoch_length(stage.sampling, positions, labels)
    return len(cut_batches(np.arange(count), batch_size_of(stage, count), 0, processes))


def own_epochs(
    recipe: Recipe, labels: NDArray[np.int64], synthetic: NDArray[np.bool_], processes: int
) -> tuple[int, ...]:
    """Optimizer steps of an epoch of each of the recipe's own stages; see `steps_per_epoch`."""
    return tuple(steps_per_epoch(stage, labels, synthetic, processes) for stage in recipe.stages)


def epoch_steps(
    stages: Sequence[StageSettings],
    own: Sequence[int],
    labels: NDArray[np.int64],
    synthetic: NDArray[np.bool_],
    processes: int,
) -> tuple[int | None, ...]:
    """For each stage of a method the steps that its settings' epochs count as.

    A stage beyond the recipe's goes by the recipe's last one.

    Args:
        stages: The method's stages.
        own: What `own_epochs` gave.
        labels: The class of every training image, shape (images,).
        synthetic: Of every training image whether it is synthetic, shape (images,).
        processes: How many processes share each batch.

    Returns:
        None where an epoch is one pass over the stage's own images: the two are the same, the
        stage counts in steps, or the recipe's stage has no images to count by.
    """
    found: list[int | None] = []
    for position, stage in enumerate(stages):
        wanted = own[min(position, len(own) - 1)]
        is_other = wanted != steps_per_epoch(stage, labels, synthetic, processes)
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
