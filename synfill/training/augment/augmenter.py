"""Stored images -> what the network sees: augmented and normalized, a batch at a time.

All random numbers are drawn on the CPU from the generator that is given, so that a GPU sees the
same crops as a CPU; torch's own generators stay as they are.
"""

from __future__ import annotations

import torch

from synfill.training.augment.base import Augmentation
from synfill.training.images.transfer import send
from synfill.training.network.spec import ClassifierSpec


class Augmenter:
    """Augments and normalizes batches of training images.

    Args:
        augmentation: What is done to them.
        spec: How the network sees images.
    """

    def __init__(self, augmentation: Augmentation, spec: ClassifierSpec) -> None:
        self._augment = augmentation.build()
        self._spec = spec

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Augment one batch; every image on its own.

        Args:
            images: uint8, shape (batch, 3, side, side), on any device.
            generator: A generator of the CPU.

        Returns:
            float32, shape (batch, 3, image_size, image_size), normalized, on the images' device.
        """
        return _normalize(self._augment(images, self._spec.image_size, generator), self._spec)


def plain(images: torch.Tensor, spec: ClassifierSpec) -> torch.Tensor:
    """Images as they are evaluated: the centre, normalized.

    Args:
        images: uint8, shape (batch, 3, side, side), on any device; side >= image_size.
        spec: How the network sees images.

    Returns:
        float32, shape (batch, 3, image_size, image_size), on the images' device.
    """
    return _normalize(centre(images, spec.image_size), spec)


def centre(images: torch.Tensor, size: int) -> torch.Tensor:
    """The square in the middle of images (batch, 3, side, side), of this side."""
    first = (images.shape[-1] - size) // 2
    return images[..., first : first + size, first : first + size]


def _normalize(images: torch.Tensor, spec: ClassifierSpec) -> torch.Tensor:
    device, mean, std = images.device, spec.mean, spec.std
    factor = torch.tensor([1 / (255 * s) for s in std]).view(3, 1, 1)
    shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)]).view(3, 1, 1)
    return (images.float() * send(factor, device)).add_(send(shift, device))
