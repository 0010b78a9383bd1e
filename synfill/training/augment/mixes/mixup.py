"""Mixup."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from synfill.training.augment.mixes.base import BetaMix, Mixed
from synfill.training.images.known import Known

if TYPE_CHECKING:
    from torch import Tensor


class Mixup(BetaMix):
    """A weighted mean of two images (Zhang et al. 2018)."""

    name: Literal["mixup"] = "mixup"

    def mix(self, images: Tensor, batch: Known, weight: float, draw: np.random.Generator) -> Mixed:
        """See `BetaMix`."""
        from synfill.training.augment.mixes.blending import blend

        return blend(images, draw.permutation(len(batch)), weight)
