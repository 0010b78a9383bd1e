"""What can be found wrong with a training run before it begins: with its data, with its network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from synfill.config.recipes.settings import DataSettings, Recipe, StageSettings, SyntheticSettings
from synfill.errors import UsageError
from synfill.training.identity import makes_images
from synfill.training.images.matching import find_classes, label_of, match_classes
from synfill.training.images.parts import open_parts
from synfill.training.methods.base import locate_stages

if TYPE_CHECKING:
    from synfill.training.images.known import ImageLabels
    from synfill.training.images.training_data import TrainingData


def look_ahead(
    data: DataSettings, of_recipe: DataSettings, methods: Mapping[str, Sequence[StageSettings]]
) -> None:
    """Find what is wrong with the data as far as labels tell, before torch is imported, and
    before images are made for hours.

    Args:
        data: What of the recipe's data the run reads.
        of_recipe: The recipe's data.
        methods: Each method's stages.

    Raises:
        UsageError: A dataset, a split, a column or images are missing, or don't fit together.
        RunError: A dataset can't be read.
    """
    read = data
    _check_paths(data)
    # Images that are still to be made can be of every class that the real ones name.
    are_made = makes_images(data)
    if are_made:
        read = data.model_copy(update={"synthetic": "none"})
    parts = open_parts(read, None)
    classes = find_classes([part.table for part in parts.train])
    if are_made:
        classes = label_of(parts.real.table).names
    for part in parts.all:
        try:
            match_classes(part.table, classes, part.describe(), part.key)
        except UsageError as error:
            if data == of_recipe:
                raise
            raise UsageError(
                error.message,
                f"No method here ({', '.join(methods)}) looks at synthetic images. If these have "
                f"such classes, compare with one that does: --compare {','.join(methods)},"
                f"synaug. Otherwise: {error.hint}",
            ) from None


def _check_paths(data: DataSettings) -> None:
    """Whether the files that the balanced dataset is to be made with are there."""
    made = data.synthetic.balance if isinstance(data.synthetic, SyntheticSettings) else None
    for key in ("prompts", "model", "lora"):
        value = (made or {}).get(key)
        # A model may be a short name or an id on the Hub, too.
        is_path = isinstance(value, str) and (key == "prompts" or value[:1] in (".", "/", "~"))
        if is_path and not Path(str(value)).expanduser().exists():
            raise UsageError(
                f"There is no file or folder '{value}', which data.synthetic.balance.{key} names."
            )


def check_stages(
    recipe: Recipe,
    methods: Mapping[str, Sequence[StageSettings]],
    classes: Sequence[str],
    images: ImageLabels,
    processes: int,
) -> dict[str, None]:
    """Whether all stages can be trained on these images; found before the first is.

    Args:
        recipe: The recipe.
        methods: Each method's stages.
        classes: The class names.
        images: What is known of the training images.
        processes: How many processes share each batch.

    Returns:
        Warnings, each once, in order.

    Raises:
        UsageError: A stage can't be trained on them.
    """
    from synfill.training.sampling.checks import check_stage

    return {
        warning: None
        for place, position, stage in locate_stages(recipe, methods)
        for warning in check_stage(
            place,
            stage,
            classes,
            images,
            is_retraining=position > 0 and stage.retrains_classifier,
            processes=processes,
        )
    }


def check_networks(
    recipe: Recipe,
    methods: Mapping[str, Sequence[StageSettings]],
    data: TrainingData,
    processes: int,
) -> None:
    """Whether the network takes the images, and has the parts that the stages name.

    Args:
        recipe: The recipe.
        methods: Each method's stages.
        data: The images.
        processes: How many processes share each batch.

    Raises:
        UsageError: It doesn't.
        RunError: The network fails for a reason of its own.
    """
    from synfill.training.network.model import choose_trainable, learns_from_one, rebuild_model
    from synfill.training.sampling.order import plan_epoch

    network = rebuild_model(recipe.model, len(data.classes), data.image_size)
    for place, _, stage in locate_stages(recipe, methods):
        if not isinstance(stage, StageSettings):
            continue
        try:
            choose_trainable(network, stage.trainable)
        except UsageError as error:
            raise UsageError(f"{place.key}.{error.message}", error.hint) from None
        share = plan_epoch(stage, data.train, processes).batch_size // processes
        if share == 1 and not learns_from_one(network, data.image_size):
            raise UsageError(
                f"{place.title}: the batch normalization of {recipe.model.name} can't be trained "
                "on a single image, which is each process's share of a batch of "
                f"{stage.batch_size}.",
                f"Set {place.key}.batch_size={2 * processes} or more.",
            )
