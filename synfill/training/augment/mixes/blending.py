"""Two images become one: their weighted mean, or a box of the one in the other."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synfill.training.augment.mixes.base import Mixed
from synfill.training.images.transfer import send


def blend(images: Tensor, partners: NDArray[np.int64], weight: float) -> Mixed:
    """Each image's weighted mean with its partner; partners has the shape (b,)."""
    others = send(torch.from_numpy(partners), images.device)
    return Mixed(torch.lerp(images[others], images, weight), others, weight)


def paste_box(
    images: Tensor, partners: NDArray[np.int64], weight: float, draw: np.random.Generator
) -> Mixed:
    """A box of each image's partner in its place; partners has the shape (b,)."""
    others = send(torch.from_numpy(partners), images.device)
    top, bottom, left, right = _box(images.shape[-2], images.shape[-1], weight, draw)
    mixed = images.clone()
    mixed[..., top:bottom, left:right] = images[others, :, top:bottom, left:right]
    replaced = (bottom - top) * (right - left) / (images.shape[-2] * images.shape[-1])
    return Mixed(mixed, others, 1 - replaced)


def _box(
    height: int, width: int, weight: float, draw: np.random.Generator
) -> tuple[int, int, int, int]:
    """Top, bottom, left, right of a box of the area 1 - weight, before it is clipped."""
    share = float(np.sqrt(1 - weight))
    tall, wide = int(height * share), int(width * share)
    y, x = int(draw.integers(height)), int(draw.integers(width))
    top, left = y - tall // 2, x - wide // 2
    return max(top, 0), min(top + tall, height), max(left, 0), min(left + wide, width)
