"""Which images a stage sees, and in which order. Numpy only: no pixels, no torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from synfill.config.training import Sampling, StageData, StageSettings
from synfill.errors import UsageError
from synfill.training.methods.builtin import StagePlace

FEW_REAL_IMAGES = 20
"""With fewer real images a class, a classifier re-trained on them forgets the synthetic ones."""
_NAMED = 5


def choose(data: StageData, synthetic: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The images that a stage may see.

    Args:
        data: Which ones.
        synthetic: Of every training image whether it is synthetic, shape (images,).

    Returns:
        Positions, int64, ascending.
    """
    if data == "real+synthetic":
        return np.arange(len(synthetic))
    return np.flatnonzero(synthetic == (data == "synthetic"))


def epoch_positions(
    sampling: Sampling,
    positions: NDArray[np.int64],
    labels: NDArray[np.int64],
    cells: NDArray[np.int64],
    classes: int,
    generator: np.random.Generator,
    fixed: np.random.Generator,
) -> NDArray[np.int64]:
    """The images of one epoch, in order.

    Args:
        sampling: as-is: each once. class-balanced: as many draws as there are images, with
            replacement: a class that has images, all alike, then an image of it. undersample: of
            each class that has images as many as the smallest has. group-balanced: as
            class-balanced, over cells; images without a cell are never drawn.
        positions: The stage's images, from `choose`; shape (n,).
        labels: The class of every training image, shape (images,).
        cells: The cell of every training image, -1 for none; shape (images,).
        classes: How many classes there are.
        generator: What differs from epoch to epoch.
        fixed: Chooses the images of undersample: one of the same seed in all of a stage's epochs.

    Returns:
        int64 positions among all training images: shape (n,), fewer for undersample.
    """
    if sampling == "as-is":
        return generator.permutation(positions)
    if sampling == "class-balanced":
        return _draw_evenly(positions, labels[positions], generator)
    if sampling == "group-balanced":
        with_cell = positions[cells[positions] >= 0]
        return _draw_evenly(with_cell, cells[with_cell], generator, len(positions))
    counts = np.bincount(labels[positions], minlength=classes)
    smallest = counts[counts > 0].min()
    shuffled = fixed.permutation(positions)
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    firsts = np.cumsum(counts) - counts
    of_each = [by_class[first : first + smallest] for first in firsts[counts > 0]]
    return generator.permutation(np.concatenate(of_each))


def _draw_evenly(
    positions: NDArray[np.int64],
    kinds: NDArray[np.int64],
    generator: np.random.Generator,
    draws: int | None = None,
) -> NDArray[np.int64]:
    """Draws with replacement: first a kind that occurs, all alike, then one of its images."""
    _, code, counts = np.unique(kinds, return_inverse=True, return_counts=True)
    by_kind = positions[np.argsort(code, kind="stable")]
    firsts = np.cumsum(counts) - counts
    drawn = generator.integers(len(counts), size=len(positions) if draws is None else draws)
    chosen: NDArray[np.int64] = by_kind[firsts[drawn] + generator.integers(counts[drawn])]
    return chosen


def epoch_length(
    sampling: Sampling,
    positions: NDArray[np.int64],
    labels: NDArray[np.int64],
) -> int:
    """How many images `epoch_positions` gives each epoch."""
    if sampling != "undersample":
        return len(positions)
    counts = np.bincount(labels[positions])
    counts = counts[counts > 0]
    return int(counts.min()) * len(counts)


def batch_size_of(stage: StageSettings, count: int) -> int:
    """A stage's batch size: what it says, cut to an epoch of undersampling if that is smaller.

    Args:
        stage: The stage.
        count: Images an epoch, from `epoch_length`.
    """
    return min(stage.batch_size, count) if stage.sampling == "undersample" else stage.batch_size


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
        order: The epoch's images, from `epoch_positions`.
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


def check_stage(
    place: StagePlace,
    stage: StageSettings,
    classes: Sequence[str],
    labels: NDArray[np.int64],
    cells: NDArray[np.int64],
    synthetic: NDArray[np.bool_],
    is_retraining: bool,
    processes: int,
) -> tuple[str, ...]:
    """Check that a stage can be trained on the images there are.

    Args:
        place: Where it comes from, for messages.
        stage: The stage.
        classes: The class names.
        labels: The class of every training image, shape (images,).
        cells: The cell of every training image, -1 for none; shape (images,).
        synthetic: Of every training image whether it is synthetic, shape (images,).
        is_retraining: Whether the stage re-trains the classifier of an earlier stage's network.
        processes: How many processes share each batch.

    Returns:
        Warnings: what may spoil the result.

    Raises:
        UsageError: It can't be trained.
    """
    positions = choose(stage.data, synthetic)
    if stage.data != "real" and not synthetic.any():
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
    counts = np.bincount(labels[positions], minlength=len(classes))
    warnings = [
        *_check_classes(place, stage, classes, counts, is_retraining),
        *_check_cells(place, stage, cells[positions]),
    ]
    length = epoch_length(stage.sampling, positions, labels)
    if stage.batch_size > len(positions):
        raise UsageError(
            f"{place.title} has a batch size of {stage.batch_size}, but only {len(positions)} "
            f"images ({stage.data}).",
            f"Set {place.key}.batch_size={_power_of_two_up_to(len(positions))}, or less.",
        )
    if batch_size_of(stage, length) < processes:
        raise UsageError(
            f"{place.title}: {processes} processes can't share a batch of "
            f"{batch_size_of(stage, length)}.",
            f"Set {place.key}.batch_size={2 * processes} or more"
            + (", with another sampling." if length < processes else "."),
        )
    if batch_size_of(stage, length) < stage.batch_size:
        warnings.append(
            f"{place.title}: undersampling leaves {length} images, so the batch has {length} "
            f"instead of {stage.batch_size}."
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
    if absent and (is_retraining or stage.sampling == "class-balanced"):
        raise UsageError(
            f"{place.title}: {_listed(absent)} {'have' if len(absent) > 1 else 'has'} no {kind} "
            f"image, so the {'classifier' if is_retraining else 'sampling'} can't be balanced.",
            f"Leave {place.built_in} out of the comparison, or give every class images."
            if place.built_in
            else f"Set {place.key}.data=real+synthetic, or give every class images.",
        )
    if absent:
        return [f"{place.title} sees no {kind} image of {_listed(absent)}."]
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
            f"of {_listed(few)}: it is likely to forget there what the synthetic images taught it. "
            f"{safer} is the safer choice."
        ]
    return []


def _check_cells(place: StagePlace, stage: StageSettings, cells: NDArray[np.int64]) -> list[str]:
    if stage.sampling != "group-balanced":
        return []
    without = int(np.count_nonzero(cells < 0))
    if without == len(cells):
        raise UsageError(
            f"{place.title}.sampling is group-balanced, but none of its images has a group.",
            f"Name the group columns in data.group, or set {place.key}.sampling=class-balanced.",
        )
    if without:
        return [
            f"{place.title}: {without} of {len(cells)} images have no group and are never drawn by "
            "group-balanced sampling."
        ]
    return []


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _power_of_two_up_to(count: int) -> int:
    return int(2 ** (count.bit_length() - 1)) if count > 0 else 1
