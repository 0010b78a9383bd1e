"""A random crop and a horizontal flip."""

from typing import ClassVar, Literal

from synfill.training.augment.crop import RandomCrop


class CropFlip(RandomCrop):
    """A random crop, and a horizontal flip of every second image."""

    name: Literal["crop-flip"] = "crop-flip"
    is_flipping: ClassVar[bool] = True
