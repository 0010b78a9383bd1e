"""torchvision's policies, image by image."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from synfill.training.augment.base import Augment
from synfill.training.augment.cropping import random_crop


def after_crop_flip(policy: Callable[[Tensor], Tensor]) -> Augment:
    """An augmentation: crop-flip, then a policy for each image (uint8, shape (3, size, size)).

    torchvision draws from torch's own generator of the CPU: it is seeded for the batch, and left
    as it was.
    """

    def augment(images: Tensor, size: int, generator: torch.Generator) -> Tensor:
        cropped = random_crop(images, size, generator, is_flipping=True)
        if cropped.dtype != torch.uint8:
            cropped = cropped.round().clamp(0, 255).to(torch.uint8)
        seed = int(torch.randint(2**63 - 1, (), generator=generator))
        with torch.random.fork_rng(devices=[]):
            # Not torch.manual_seed, which would seed the GPUs as well.
            torch.default_generator.manual_seed(seed)
            return torch.stack([policy(image) for image in cropped])

    return augment
