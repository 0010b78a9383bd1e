"""RandAugment."""

from __future__ import annotations

from typing import Literal

from synfill.training.augment.base import Augment, Augmentation


class RandAugment(Augmentation):
    """torchvision's RandAugment with its defaults, after crop-flip."""

    name: Literal["randaugment"] = "randaugment"

    def build(self) -> Augment:
        """See `Augmentation`."""
        from torchvision.transforms import v2

        from synfill.training.augment.policy import after_crop_flip

        return after_crop_flip(v2.RandAugment())
