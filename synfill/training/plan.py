"""What is trained: each method's stages, how long they are, what they see, and its identity.

In a comparison an epoch of any method counts as many optimizer steps as an epoch of the recipe's
own stages, whether or not these are among the methods: their labels are read for that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from synfill.config.recipes.methods import locate_stage
from synfill.config.recipes.settings import DataSettings, Recipe, StageSettings
from synfill.errors import SynfillError
from synfill.evaluation.metrics.base import TrainCounts
from synfill.records import JsonObject
from synfill.reporter import Reporter
from synfill.training.budget import epoch_steps
from synfill.training.identity import (
    count_train,
    makes_images,
    recipe_identity,
    sees_synthetic,
)
from synfill.training.images.known import ImageLabels
from synfill.training.images.labels import find_labels
from synfill.training.images.training_data import TrainingData


@dataclass(frozen=True, eq=False)
class MethodPlan:
    """A method as it is trained here, once for each seed.

    Attributes:
        name: Its name.
        stages: What is done, in order.
        keys: Where the recipe has each stage's settings ("stages.0"), for advice.
        epoch_steps: For each stage the optimizer steps that an epoch of its settings counts as;
            None where it is a pass over the stage's own images.
        counts: What it trains on.
        identity: What decides its results.
    """

    name: str
    stages: tuple[StageSettings, ...]
    keys: tuple[str, ...]
    epoch_steps: tuple[int | None, ...]
    counts: TrainCounts
    identity: JsonObject


def plan_methods(
    recipe: Recipe,
    methods: Mapping[str, tuple[StageSettings, ...]],
    data: TrainingData,
    own: ImageLabels | None,
    processes: int,
    computed: JsonObject,
) -> list[MethodPlan]:
    """The methods of a run.

    Args:
        recipe: The recipe.
        methods: Each method's stages.
        data: The images.
        own: The training images of the recipe's own stages, which a comparison's lengths go by;
            None where every method makes its own epochs.
        processes: How many processes share each batch.
        computed: How it is computed, as far as it decides the results.
    """

    def count(stages: Sequence[StageSettings], processes: int) -> tuple[int | None, ...]:
        if own is None:
            return (None,) * len(stages)
        return epoch_steps(stages, data.train, recipe.stages, own, processes)

    plans = []
    for name, stages in methods.items():
        # As in one process: a run may go on in more of them.
        steps = count(stages, 1)
        unseen = () if sees_synthetic(stages) else ("synthetic",)
        identity: JsonObject = {
            # Only where it changes anything: results of earlier versions stay what they are.
            **({"epoch_steps": list(steps)} if any(steps) else {}),
            **recipe_identity(recipe),
            "stages": [stage.model_dump(mode="json") for stage in stages],
            "classes": list(data.classes),
            "images": {k: digest for k, digest in data.digests.items() if k not in unseen},
            **computed,
        }
        plans.append(
            MethodPlan(
                name,
                stages,
                tuple(locate_stage(recipe, name, at).key for at in range(len(stages))),
                count(stages, processes),
                count_train(data, sees_synthetic(stages)),
                identity,
            )
        )
    return plans


def labels_of_own_stages(
    recipe: Recipe, used: DataSettings, data: TrainingData, balanced: Path, reporter: Reporter
) -> ImageLabels | None:
    """The training images of the recipe's own stages, which a comparison's lengths go by.

    Args:
        recipe: The recipe.
        used: What of the recipe's data this run reads.
        data: The images of this run.
        balanced: Where the recipe's own balanced dataset is, if it has one made.
        reporter: Where a note goes, of images that aren't made yet.

    Returns:
        None where every method makes its own epochs.

    Raises:
        UsageError, RunError: They can't be found.
    """
    if recipe.budget == "epochs" or not recipe.compare:
        return None
    if used == recipe.data or not sees_synthetic(recipe.stages):
        return data.train
    are_made = makes_images(recipe.data)
    try:
        return find_labels(recipe.data, str(balanced) if are_made else None).train
    except SynfillError:
        if not are_made:
            raise
    reporter.note(
        "The synthetic images aren't made, as no method here looks at them: an epoch is counted "
        "on the real images alone. Beside a method that looks at them it would be longer "
        "(budget: steps)."
    )
    return data.train
