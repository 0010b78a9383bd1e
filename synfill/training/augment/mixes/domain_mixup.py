"""Mixup of real with synthetic images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from synfill.training.augment.mixes.base import BetaMix, Mixed
from synfill.training.images.known import Known

if TYPE_CHECKING:
    from torch import Tensor


class DomainMixup(BetaMix):
    """Mixup of each real image with a synthetic one of the batch, and the other way round.

    Plain Mixup where the batch has only one of the two kinds.
    """

    name: Literal["domain-mixup"] = "domain-mixup"

    def mix(self, images: Tensor, batch: Known, weight: float, draw: np.random.Generator) -> Mixed:
        """See `BetaMix`."""
        from synfill.training.augment.mixes.blending import blend

        made, real = np.flatnonzero(batch.synthetic), np.flatnonzero(~batch.synthetic)
        if not len(made) or not len(real):
            return blend(images, draw.permutation(len(batch)), weight)
        partners = np.empty(len(batch), dtype=np.int64)
        partners[made] = draw.choice(real, len(made))
        partners[real] = draw.choice(made, len(real))
        return blend(images, partners, weight)
