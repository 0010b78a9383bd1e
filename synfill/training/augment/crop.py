"""A random crop."""

from __future__ import annotations

from functools import partial
from typing import Literal

from synfill.training.augment.base import Augment, Augmentation


class Crop(Augmentation):
    """A random crop."""

    name: Literal["crop"] = "crop"

    def build(self) -> Augment:
        """See `Augmentation`."""
        from synfill.training.augment.cropping import random_crop

        return partial(random_crop, is_flipping=False)
