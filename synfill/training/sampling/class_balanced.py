"""Every class equally often."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from synfill.training.images.known import Known
from synfill.training.sampling.base import Epoch, Sampler, draw_evenly


class ClassBalanced(Sampler):
    """As many draws an epoch as there are images: the class at random first, with replacement."""

    name: Literal["class-balanced"] = "class-balanced"
    needs_every_class: ClassVar[bool] = True

    def draw(self, images: Known, epoch: Epoch) -> NDArray[np.int64]:
        """See `Sampler`."""
        return draw_evenly(images.labels, len(images), epoch.generator)
