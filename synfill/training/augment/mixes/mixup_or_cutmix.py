"""Mixup and CutMix in turns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from synfill.training.augment.mixes.base import BetaMix, Mixed
from synfill.training.images.known import Known

if TYPE_CHECKING:
    from torch import Tensor


class MixupOrCutMix(BetaMix):
    """One of the two at random, batch by batch."""

    name: Literal["mixup-or-cutmix"] = "mixup-or-cutmix"

    def mix(self, images: Tensor, batch: Known, weight: float, draw: np.random.Generator) -> Mixed:
        """See `BetaMix`."""
        from synfill.training.augment.mixes.blending import blend, paste_box

        is_mixup = draw.random() < 0.5
        partners = draw.permutation(len(batch))
        return (
            blend(images, partners, weight)
            if is_mixup
            else paste_box(images, partners, weight, draw)
        )
