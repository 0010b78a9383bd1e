"""The part of a loss that trains: logits and targets in, one value an image out.

One value an image, and not their mean, so that weights, mixing and gradient accumulation are
exact whatever the loss is (margins and group weights fit no mixed one-hot label).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from synfill.training.losses.base import Targets


class LossModule(nn.Module):
    """A loss of one stage.

    Its parameters train with the network's; they and its buffers are saved in checkpoints.

    Attributes:
        sees_cell_sums: Whether `on_step` is called.
    """

    sees_cell_sums = False

    def forward(self, logits: Tensor, targets: Targets) -> Tensor:
        """The loss of each image, float32, shape (b,).

        Args:
            logits: float32, shape (b, classes).
            targets: Of the same images.
        """
        raise NotImplementedError

    def on_epoch(self, epoch: int) -> None:
        """Called before each epoch, counted from 0."""

    def on_step(self, sums: Tensor, counts: Tensor) -> None:
        """Called after each optimizer step, on every process alike, where `sees_cell_sums`.

        Args:
            sums: float32, shape (cells,), on the device: the values of the step's images of each
                cell, over all processes. A mixed image counts in two cells, by its shares.
            counts: float32, shape (cells,): the images, counted in the same way.
        """


class PerImage(LossModule):
    """A loss that is a function of logits and targets, without a state."""

    def __init__(self, values: Callable[[Tensor, Targets], Tensor]) -> None:
        super().__init__()
        self._values = values

    def forward(self, logits: Tensor, targets: Targets) -> Tensor:
        """See `LossModule`."""
        return self._values(logits, targets)


class CellSums:
    """Sums a loss's values up by cell, for `LossModule.on_step`.

    Args:
        cells: How many cells there are.
        device: Where they are summed up.
    """

    def __init__(self, cells: int, device: torch.device) -> None:
        self.both = torch.zeros(2, cells, device=device)

    def add(self, cells: Tensor, values: Tensor, share: float) -> None:
        """Count images' values, each by a share of 0..1; cells int64 and values, shape (b,)."""
        self.both[0].index_add_(0, cells, values.detach().float(), alpha=share)
        self.both[1].index_add_(0, cells, torch.ones_like(values, dtype=torch.float32), alpha=share)


def mixed_loss(
    loss: LossModule,
    logits: Tensor,
    own: Targets,
    partners: Targets,
    weight: float,
    sums: CellSums | None = None,
) -> Tensor:
    """lambda L(a) + (1 - lambda) L(b) (Zhang et al. 2018); plain L(a) where nothing was mixed.

    Args:
        loss: The loss.
        logits: float32, shape (b, classes): of the mixed images.
        own: The images' own targets.
        partners: Those of the images that were mixed in.
        weight: lambda, the images' own share, 0..1.
        sums: Takes the values in, cell by cell.

    Returns:
        The mean over the images, a scalar.
    """

    def mean(targets: Targets, share: float) -> Tensor:
        values: Tensor = loss(logits, targets)
        if values.shape != targets.labels.shape:
            raise ValueError(f"a loss gives one value an image, not the shape {values.shape}")
        if sums is not None:
            sums.add(targets.cells, values, share)
        return values.mean()

    first = mean(own, weight)
    return first if weight == 1.0 else weight * first + (1 - weight) * mean(partners, 1 - weight)


@torch.no_grad()
def mixed_hits(logits: Tensor, own: Targets, partners: Targets, weight: float) -> Tensor:
    """How many of a batch are classified right, a float32 scalar: a mixed image counts for each
    of its two labels by that label's share.
    """
    found = logits.argmax(dim=1)
    first = (found == own.labels).float().sum()
    if weight == 1.0:
        return first
    return weight * first + (1 - weight) * (found == partners.labels).float().sum()
