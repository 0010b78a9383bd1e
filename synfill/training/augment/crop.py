"""A random crop."""

from functools import partial
from typing import ClassVar, Literal

from synfill.training.augment.base import Augment, Augmentation


class RandomCrop(Augmentation):
    """A random crop, with a flip or without."""

    is_flipping: ClassVar[bool]

    def build(self) -> Augment:
        """See `Augmentation`."""
        from synfill.training.augment.cropping import random_crop

        return partial(random_crop, is_flipping=self.is_flipping)


class Crop(RandomCrop):
    """A random crop."""

    name: Literal["crop"] = "crop"
    is_flipping: ClassVar[bool] = False
