"""A seed that was finished before: its figures from what it left, or why it is trained again.

The figures are computed anew from the stored probabilities, so that what earlier versions wrote
down in another way is no reason to train. What the training took stands in result.json, or else in
history.jsonl.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from synfill.classifier.load import check_classifier
from synfill.errors import RunError, SynfillError
from synfill.evaluation.measure import measure
from synfill.evaluation.metrics.base import TrainCounts
from synfill.evaluation.predictions import Predictions, read_predictions
from synfill.evaluation.results import Result
from synfill.runs.training_folder import SeedFolder
from synfill.training.images.pixels import ImageSet
from synfill.training.stage.history import cost_of, read_history

if TYPE_CHECKING:
    from synfill.training.images.training_data import TrainingData


class UnusableError(Exception):
    """What a finished seed left can't be used; its text says what and why."""


def read_finished(folder: SeedFolder, seed: int, counts: TrainCounts, data: TrainingData) -> Result:
    """The result of a seed that was finished before.

    Args:
        folder: The seed's folder, with a result.json.
        seed: The seed.
        counts: What its method trains on.
        data: The images that it was tested on.

    Raises:
        UnusableError: Its model or its predictions are gone or damaged.
        RunError: Both places that say what the training took are damaged.
    """
    try:
        check_classifier(folder.model)
    except SynfillError as error:
        raise UnusableError(error.message) from None
    path = folder.predictions
    try:
        images = sum(map(len, data.measured.values()))
        found = read_predictions(path, seed, data.classes, data.groups, images)
        for split, one in data.measured.items():
            _check_rows(found.get(split), split, one)
    except FileNotFoundError:
        raise UnusableError(f"there is no {path}.") from None
    except (OSError, ValueError) as error:
        raise UnusableError(f"{path} can't be used: {str(error).rstrip('.')}.") from None
    measured = {
        split: measure(found[split].probabilities, one.labels, one.cells, counts)
        for split, one in data.measured.items()
    }
    test, validation = measured["test"], measured.get("validation")
    try:
        return Result.read(folder.result, test, validation)
    except RunError as error:
        try:
            return Result(seed, test, validation, *cost_of(read_history(folder.history)))
        except (OSError, ValueError):
            raise error from None


def _check_rows(said: Predictions | None, split: str, images: ImageSet) -> None:
    """Whether the predictions are of just these images."""
    if said is None:
        raise ValueError(f"it has no {split} images")
    if len(said.rows) != len(images) or (said.rows != images.rows).any():
        raise ValueError(f"its {split} images are others")
    if (said.labels != images.labels).any():
        raise ValueError(f"its {split} images have other labels")
