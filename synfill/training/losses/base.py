"""What a stage minimizes, as a scalar over a batch, so that any of them can be mixed.

A mixed batch's loss is lambda L(a) + (1 - lambda) L(b), with a the images' own targets and b their
partners': that works for losses that no mixed one-hot label fits (margins, group weights).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from synfill.config.training import LossName, StageSettings


@dataclass(frozen=True, eq=False)
class Targets:
    """What is known of a batch's images.

    Attributes:
        labels: int64, shape (b,): classes.
        cells: int64, shape (b,): cells, class within group; -1 where a group is missing.
    """

    labels: Tensor
    cells: Tensor

    def take(self, positions: Tensor) -> Targets:
        """Those of some of the images; positions is int64."""
        return Targets(self.labels[positions], self.cells[positions])


class Loss(Protocol):
    """A loss over a batch."""

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        """The batch's loss, a scalar.

        Args:
            logits: float32, shape (b, classes).
            targets: Of the same images.
        """


class CrossEntropy:
    """Softmax cross-entropy, the mean over the batch.

    Args:
        label_smoothing: Share of each target that is spread evenly over all classes
            (Szegedy et al. 2016).
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self._label_smoothing = label_smoothing

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        """See `Loss`."""
        return nn.functional.cross_entropy(
            logits, targets.labels, label_smoothing=self._label_smoothing
        )


_LOSSES: Mapping[LossName, Callable[[StageSettings], Loss]] = {
    "cross-entropy": lambda stage: CrossEntropy(stage.label_smoothing),
}


def make_loss(stage: StageSettings) -> Loss:
    """The loss that a stage names."""
    return _LOSSES[stage.loss](stage)


def mixed_loss(
    loss: Loss, logits: Tensor, own: Targets, partners: Targets, weight: float
) -> Tensor:
    """lambda L(a) + (1 - lambda) L(b) (Zhang et al. 2018); plain L(a) where nothing was mixed.

    Args:
        loss: The loss.
        logits: float32, shape (b, classes): of the mixed images.
        own: The images' own targets.
        partners: Those of the images that were mixed in.
        weight: lambda, the images' own share, 0..1.
    """
    first = loss(logits, own)
    return first if weight == 1.0 else weight * first + (1 - weight) * loss(logits, partners)


@torch.no_grad()
def mixed_hits(logits: Tensor, own: Targets, partners: Targets, weight: float) -> Tensor:
    """How many of a batch are told right, a float32 scalar: a mixed image counts for each of its
    two labels by that label's share.
    """
    told = logits.argmax(dim=1)
    first = (told == own.labels).float().sum()
    if weight == 1.0:
        return first
    return weight * first + (1 - weight) * (told == partners.labels).float().sum()
