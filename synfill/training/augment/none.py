"""No augmentation."""

from __future__ import annotations

from typing import Literal

from synfill.training.augment.base import Augment, Augmentation


class NoAugmentation(Augmentation):
    """The centre of each image, as test images are shown."""

    name: Literal["none"] = "none"

    def build(self) -> Augment:
        """See `Augmentation`."""
        from synfill.training.augment.augmenter import centre

        return lambda images, size, generator: centre(images, size)
