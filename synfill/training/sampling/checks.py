"""What stops a stage on the images there are, or may spoil its result. Numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from synfill.config.recipes.methods import StagePlace
from synfill.config.recipes.stages import StageSettings
from synfill.errors import UsageError
from synfill.training.images.known import Known
from synfill.training.sampling.base import Sampler
from synfill.training.sampling.order import plan_epoch
from synfill.wording import list_names

FEW_REAL_IMAGES = 20
"""With fewer real images a class, a classifier re-trained on them forgets the synthetic ones."""


def check_stage(
    place: StagePlace,
    stage: StageSettings,
    classes: Sequence[str],
    images: Known,
    is_retraining: bool,
    processes: int,
) -> tuple[str, ...]:
    """Check that a stage can be trained on the images there are.

    Args:
        place: Where it comes from, for messages.
        stage: The stage.
        classes: The class names.
        images: All training images.
        is_retraining: Whether the stage re-trains the classifier of an earlier stage's network.
        processes: How many processes share each batch.

    Returns:
        Warnings: what may spoil the result.

    Raises:
        UsageError: It can't be trained.
    """
    if "real" not in stage.data and "synthetic" not in stage.data:
        return ()
    if stage.data != "real" and not images.synthetic.any():
        way_out = (
            f"leave {place.built_in} out of the comparison"
            if place.built_in
            else f"set {place.key}.data=real"
        )
        raise UsageError(
            f"{place.title} is to see {stage.data} images, but there are no synthetic ones.",
            "Say in data.synthetic where they come from: a dataset that `synfill balance` made, "
            f"or a balance section that makes one; or {way_out}.",
        )
    if not isinstance(stage, StageSettings):
        return ()
    epoch = plan_epoch(stage, images, processes)
    seen, length, batch_size = images.take(epoch.positions), epoch.length, epoch.batch_size
    counts = np.bincount(seen.labels, minlength=len(classes))
    warnings = [
        *_check_classes(place, stage, classes, counts, is_retraining),
        *_check_cells(place, stage, seen.cells),
    ]
    if stage.batch_size > len(seen):
        raise UsageError(
            f"{place.title} has a batch size of {stage.batch_size}, but only {len(seen)} "
            f"images ({stage.data}).",
            f"Set {place.key}.batch_size={_power_of_two_up_to(len(seen))}, or less.",
        )
    if batch_size < processes:
        raise UsageError(
            f"{place.title}: {processes} processes can't share a batch of {batch_size}.",
            f"Set {place.key}.batch_size={2 * processes} or more"
            + (", with another sampling." if length < processes else "."),
        )
    if batch_size < stage.batch_size:
        warnings.append(
            f"{place.title}: sampling {stage.sampling} leaves {length} images, so the batch has "
            f"{length} instead of {stage.batch_size}."
        )
    return tuple(warnings)


def _check_classes(
    place: StagePlace,
    stage: StageSettings,
    classes: Sequence[str],
    counts: NDArray[np.int64],
    is_retraining: bool,
) -> list[str]:
    kind = "real or synthetic" if stage.data == "real+synthetic" else stage.data
    absent = [name for name, count in zip(classes, counts, strict=True) if not count]
    if absent and (is_retraining or cast(Sampler, stage.sampling).needs_every_class):
        raise UsageError(
            f"{place.title}: {list_names(absent)} {'have' if len(absent) > 1 else 'has'} no {kind} "
            f"image, so the {'classifier' if is_retraining else 'sampling'} can't be balanced.",
            f"Leave {place.built_in} out of the comparison, or give every class images."
            if place.built_in
            else f"Set {place.key}.data=real+synthetic, or give every class images.",
        )
    if absent:
        return [f"{place.title} sees no {kind} image of {list_names(absent)}."]
    few = [
        f"{name} ({count})"
        for name, count in zip(classes, counts, strict=True)
        if count < FEW_REAL_IMAGES
    ]
    if few and is_retraining and stage.data == "real":
        safer = "A re-training on real and synthetic images" if place.built_in else (
            f"{place.key}.data=real+synthetic"
        )  # fmt: skip
        return [
            f"{place.title} re-trains the classifier on fewer than {FEW_REAL_IMAGES} real images "
            f"of {list_names(few)}: it is likely to forget there what the synthetic images taught "
            f"it. {safer} is the safer choice."
        ]
    return []


def _check_cells(place: StagePlace, stage: StageSettings, cells: NDArray[np.int64]) -> list[str]:
    if not cast(Sampler, stage.sampling).needs_groups:
        return []
    without = int(np.count_nonzero(cells < 0))
    if without == len(cells):
        raise UsageError(
            f"{place.title}.sampling is {stage.sampling}, but none of its images has a group.",
            f"Name the group columns in data.group, or set {place.key}.sampling=class-balanced.",
        )
    if without:
        return [
            f"{place.title}: {without} of {len(cells)} images have no group and are never drawn by "
            f"{stage.sampling} sampling."
        ]
    return []


def _power_of_two_up_to(count: int) -> int:
    return int(2 ** (count.bit_length() - 1)) if count > 0 else 1
