"""Which images a stage may see, and how an epoch of them is cut into batches. Numpy only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from synfill.config.recipes.stages import StageSettings
from synfill.training.images.known import Known
from synfill.training.sampling.base import Sampler


def choose(data: str, synthetic: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The images of a set that a stage may see.

    Args:
        data: Which ones: real, synthetic, real+synthetic; validation: all of that set.
        synthetic: Of every image of the set whether it is synthetic, shape (images,).

    Returns:
        Positions, int64, ascending.
    """
    if data in ("real+synthetic", "validation"):
        return np.arange(len(synthetic))
    return np.flatnonzero(synthetic == (data == "synthetic"))


@dataclass(frozen=True, eq=False)
class EpochPlan:
    """How an epoch of a stage goes over its images.

    Attributes:
        positions: The images that the stage may see: int64, ascending.
        length: How many of them an epoch shows.
        batch_size: Images a step, over all processes: as the stage says, cut to an epoch that the
            sampling makes short.
        shares: Images of each batch that each process gets.
    """

    positions: NDArray[np.int64]
    length: int
    batch_size: int
    shares: tuple[int, ...]


def plan_epoch(stage: StageSettings, images: Known, processes: int) -> EpochPlan:
    """How an epoch of a stage goes over its images, if it has any.

    Args:
        stage: The stage.
        images: All training images.
        processes: How many processes share each batch.
    """
    sampler = cast(Sampler, stage.sampling)
    positions = choose(stage.data, images.synthetic)
    length = sampler.length(images.labels[positions]) if len(positions) else 0
    batch_size = min(stage.batch_size, length) if sampler.shortens else stage.batch_size
    batches = cut_batches(np.arange(length), batch_size, 0, processes) if length else []
    return EpochPlan(positions, length, batch_size, tuple(map(len, batches)))


def cut_batches(
    order: NDArray[np.int64], batch_size: int, rank: int = 0, world: int = 1
) -> list[NDArray[np.int64]]:
    """An epoch's batches, or one process's part of each.

    The order over all processes is the same however many there are. Every process gets equally
    many images of each batch, so up to world - 1 images of a batch that can't be divided are
    left out; and so is a last batch of less than two images a process, since BatchNorm can't
    train on a single one (unless it is the only batch).

    Args:
        order: The epoch's images, in order.
        batch_size: Images a batch, over all processes together.
        rank: Which process.
        world: How many processes there are.
    """
    batches = [order[first : first + batch_size] for first in range(0, len(order), batch_size)]
    if len(batches) > 1 and len(batches[-1]) < min(2 * world, batch_size):
        batches.pop()
    shares = [len(batch) // world for batch in batches]
    return [
        batch[rank * share : (rank + 1) * share]
        for batch, share in zip(batches, shares, strict=True)
    ]
