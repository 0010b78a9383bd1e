"""Each image once."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from synfill.training.images.known import Known
from synfill.training.sampling.base import Epoch, Sampler


class AsIs(Sampler):
    """Each image once an epoch."""

    name: Literal["as-is"] = "as-is"

    def draw(self, images: Known, epoch: Epoch) -> NDArray[np.int64]:
        """See `Sampler`."""
        return epoch.generator.permutation(len(images))
