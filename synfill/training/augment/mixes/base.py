"""What a mix is: the images of a batch, each mixed with another one.

Only images are mixed here. Labels are mixed by the loss, weight * L(own label) +
(1 - weight) * L(the partner's label), so that it works with every loss.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from synfill.config.recipes.stages import Alpha
from synfill.config.registry import Component
from synfill.training.images.known import Known

if TYPE_CHECKING:
    from torch import Generator, Tensor


@dataclass(frozen=True, eq=False)
class Mixed:
    """A mixed batch.

    Attributes:
        images: float32, shape (b, 3, size, size).
        partners: int64, shape (b,), on the images' device: which image of the batch each one was
            mixed with (itself, where nothing is mixed).
        weight: Lambda, the image's own share, in 0..1; its partner's is 1 - weight.
    """

    images: Tensor
    partners: Tensor
    weight: float


MixImages = Callable[["Tensor", Known, "Generator"], Mixed]
"""Images (float32, shape (b, 3, size, size), on any device), what is known of them (their cells as
in `losses.base.Facts`), and a generator of the CPU, from which everything is drawn -> the mixed
batch.
"""


class Mix(Component):
    """A mix, with its options; a subclass has a `name` and a `build`."""

    def build(self) -> MixImages:
        """What is done to a batch."""
        raise NotImplementedError


class BetaMix(Mix):
    """A mix whose lambda, the same for the whole batch, is drawn from Beta(alpha, alpha)."""

    alpha: Alpha | None = Field(
        None, description="Lambda is drawn from Beta(alpha, alpha); null for the stage's alpha."
    )

    def build(self) -> MixImages:
        """See `Mix`."""
        import torch

        alpha = 1.0 if self.alpha is None else self.alpha

        def mix(images: Tensor, batch: Known, generator: Generator) -> Mixed:
            # torch's Beta takes no generator; numpy's is seeded from it.
            draw = np.random.default_rng(int(torch.randint(2**63 - 1, (), generator=generator)))
            return self.mix(images, batch, float(draw.beta(alpha, alpha)), draw)

        return mix

    def mix(self, images: Tensor, batch: Known, weight: float, draw: np.random.Generator) -> Mixed:
        """Mix a batch with a lambda that was drawn for it."""
        raise NotImplementedError
