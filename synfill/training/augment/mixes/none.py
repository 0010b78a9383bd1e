"""No mixing."""

from __future__ import annotations

from typing import Literal

from synfill.training.augment.mixes.base import Mix, Mixed, MixImages


class NoMix(Mix):
    """No image is mixed."""

    name: Literal["none"] = "none"

    def build(self) -> MixImages:
        """See `Mix`."""
        import torch

        return lambda images, batch, generator: Mixed(
            images, torch.arange(len(images), device=images.device), 1.0
        )
