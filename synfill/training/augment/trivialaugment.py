"""TrivialAugment."""

from __future__ import annotations

from typing import Literal

from synfill.training.augment.base import Augment, Augmentation


class TrivialAugment(Augmentation):
    """torchvision's TrivialAugmentWide with its defaults, after crop-flip."""

    name: Literal["trivialaugment"] = "trivialaugment"

    def build(self) -> Augment:
        """See `Augmentation`."""
        from torchvision.transforms import v2

        from synfill.training.augment.policy import after_crop_flip

        return after_crop_flip(v2.TrivialAugmentWide())
