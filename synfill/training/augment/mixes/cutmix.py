"""CutMix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from synfill.training.augment.mixes.base import BetaMix, Mixed
from synfill.training.images.known import Known

if TYPE_CHECKING:
    from torch import Tensor


class CutMix(BetaMix):
    """A box of one image in place of a part of the other (Yun et al. 2019).

    Lambda is the share of the area that is left, after the box was clipped.
    """

    name: Literal["cutmix"] = "cutmix"

    def mix(self, images: Tensor, batch: Known, weight: float, draw: np.random.Generator) -> Mixed:
        """See `BetaMix`."""
        from synfill.training.augment.mixes.blending import paste_box

        return paste_box(images, draw.permutation(len(batch)), weight, draw)
