"""A random crop and a horizontal flip."""

from __future__ import annotations

from functools import partial
from typing import Literal

from synfill.training.augment.base import Augment, Augmentation


class CropFlip(Augmentation):
    """A random crop, and a horizontal flip of every second image."""

    name: Literal["crop-flip"] = "crop-flip"

    def build(self) -> Augment:
        """See `Augmentation`."""
        from synfill.training.augment.cropping import random_crop

        return partial(random_crop, is_flipping=True)
