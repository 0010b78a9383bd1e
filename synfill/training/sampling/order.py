"""Which images a stage may see, and how an epoch of them is cut into batches. Numpy only."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

from synfill.config.registry import Component
from synfill.config.stages import StageSettings
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


def epoch_length(
    sampling: Component, positions: NDArray[np.int64], labels: NDArray[np.int64]
) -> int:
    """How many images of a stage each epoch shows.

    Args:
        sampling: Which of them; a `Sampler`.
        positions: The stage's images, from `choose`.
        labels: The class of every training image, shape (images,).
    """
    return cast(Sampler, sampling).length(labels[positions])


def batch_size_of(stage: StageSettings, count: int) -> int:
    """A stage's batch size: what it says, cut to an epoch that the sampling makes short.

    Args:
        stage: The stage.
        count: Images an epoch, from `epoch_length`.
    """
    is_cut = cast(Sampler, stage.sampling).shortens
    return min(stage.batch_size, count) if is_cut else stage.batch_size


def smallest_share(
    stage: StageSettings, positions: NDArray[np.int64], labels: NDArray[np.int64], processes: int
) -> int:
    """Images of a batch that each process gets, at least; as `cut_batches` cuts them."""
    length = epoch_length(stage.sampling, positions, labels)
    return batch_size_of(stage, length) // processes


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
