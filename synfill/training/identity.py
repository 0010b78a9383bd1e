"""What makes a training run this run, and what it is trained on, in figures. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from synfill.config.recipes.settings import DataSettings, Recipe, StageSettings, SyntheticSettings
from synfill.evaluation.metrics.base import TrainCounts
from synfill.records import JsonObject

if TYPE_CHECKING:
    from synfill.training.images.training_data import TrainingData


_FOLDER_KEYS = ("layout", "image_root", "file_column")


def recipe_identity(recipe: Recipe) -> JsonObject:
    """What of a recipe decides the results of all built-in methods and of its own stages."""
    content = recipe.model_dump(mode="json", include={"data", "model", "stages", "hardware"})
    for key in ("storage", "workers"):
        del content["data"][key]
    del content["hardware"]["trackers"]
    # Where they aren't given, a run is the one that it was before there were such keys.
    for section in (content["data"], content["data"]["test"]):
        for key in _FOLDER_KEYS if isinstance(section, dict) else ():
            if section[key] is None:
                del section[key]
    return {"name": recipe.name, **content}


def makes_images(data: DataSettings) -> bool:
    """Whether the synthetic images are made by the run itself."""
    return isinstance(data.synthetic, SyntheticSettings) and data.synthetic.balance is not None


def sees_synthetic(stages: Sequence[StageSettings]) -> bool:
    """Whether any of the stages looks at synthetic images."""
    return any("synthetic" in stage.data for stage in stages)


def count_train(data: TrainingData, with_synthetic: bool) -> TrainCounts:
    """What a method trains on, in images.

    Args:
        data: All the images.
        with_synthetic: Whether the method looks at synthetic ones; if not, they count 0.
    """
    train = data.train

    def count(codes: NDArray[np.int64], kinds: int, synthetic: bool) -> tuple[int, ...]:
        if synthetic and not with_synthetic:
            return (0,) * kinds
        chosen = codes[(train.synthetic == synthetic) & (codes >= 0)]
        return tuple(np.bincount(chosen, minlength=kinds).tolist())

    return TrainCounts(
        classes=data.classes,
        real=count(train.labels, len(data.classes), False),
        synthetic=count(train.labels, len(data.classes), True),
        groups=data.groups,
        cells=tuple(map(str, data.cells)),
        cell_real=count(train.cells, len(data.cells), False),
        cell_synthetic=count(train.cells, len(data.cells), True),
    )
