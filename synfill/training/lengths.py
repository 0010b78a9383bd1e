"""The lengths of a comparison's methods, from the recipe and the images that its stages see.

Reads labels where the run itself doesn't: what the recipe's own stages would see counts, whether
or not they are among the methods.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from synfill.config.training import DataSettings, Recipe, StageSettings
from synfill.errors import SynfillError
from synfill.training.budget import epoch_steps, own_epochs
from synfill.training.identity import is_to_be_made, sees_synthetic
from synfill.training.images.matching import find_classes, match_classes
from synfill.training.images.parts import open_parts

if TYPE_CHECKING:
    from synfill.training.images.gather import TrainLabels


@dataclass(frozen=True)
class Lengths:
    """The optimizer steps that an epoch of each stage of a method counts as; None for a pass over
    the stage's own images.

    Attributes:
        here: In this run's processes.
        stored: In one process, for the method's identity: a run may go on in more of them.
    """

    here: tuple[int | None, ...]
    stored: tuple[int | None, ...]


def find_lengths(
    recipe: Recipe,
    methods: Mapping[str, Sequence[StageSettings]],
    found: TrainLabels,
    data: DataSettings,
    balanced: Path,
    processes: int,
    note: Callable[[str], None],
) -> dict[str, Lengths]:
    """The lengths of the methods of a comparison.

    Args:
        recipe: The recipe.
        methods: Each method's stages.
        found: The training images of this run.
        data: What of the recipe's data this run reads.
        balanced: Where the recipe's own balanced dataset is, if it has one made.
        processes: How many processes share each batch.
        note: Told what a user should know of how an epoch was counted.

    Returns:
        For each method its lengths; nothing where each makes its own epochs.

    Raises:
        UsageError, RunError: The images of the recipe's own stages can't be found.
    """
    if recipe.budget == "epochs" or not methods:
        return {}
    labels, synthetic = found.labels, found.synthetic
    if data != recipe.data and sees_synthetic(recipe.stages):
        labels, synthetic = _labels_of_own_stages(recipe.data, balanced, note) or (
            labels, synthetic,
        )  # fmt: skip

    def count(stages: Sequence[StageSettings], processes: int) -> tuple[int | None, ...]:
        own = own_epochs(recipe, labels, synthetic, processes)
        return epoch_steps(stages, own, found.labels, found.synthetic, processes)

    return {
        name: Lengths(count(stages, processes), count(stages, 1))
        for name, stages in methods.items()
    }


def _labels_of_own_stages(
    data: DataSettings, balanced: Path, note: Callable[[str], None]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]] | None:
    """Class and kind of each image that the recipe's own stages would see; None where the
    synthetic ones aren't made yet.
    """
    to_be_made = is_to_be_made(data)
    try:
        parts = open_parts(data, str(balanced) if to_be_made else None)
    except SynfillError:
        if not to_be_made:
            raise
        note(
            "The synthetic images aren't made, as no method here looks at them: an epoch is "
            "counted on the real images alone. Beside a method that looks at them it would be "
            "longer (budget: steps)."
        )
        return None
    classes = find_classes([part.table for part in parts.train])
    labels = [match_classes(one.table, classes, one.describe(), one.key) for one in parts.train]
    synthetic = [np.full(len(part.table), part.is_synthetic) for part in parts.train]
    return np.concatenate(labels), np.concatenate(synthetic)
