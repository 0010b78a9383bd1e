"""Mixing the images of a batch in pairs: Mixup, CutMix, and Mixup of real with synthetic.

Only images are mixed here. Labels are mixed by the loss, weight * L(own label) +
(1 - weight) * L(the partner's label), so that it works with every loss.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from synfill.config.training import Mix
from synfill.training.images.transfer import send


@dataclass(frozen=True)
class Mixed:
    """A mixed batch.

    Attributes:
        images: float32, shape (batch, 3, size, size).
        partners: int64, shape (batch,), on the images' device: which image of the batch each one
            was mixed with (itself, where nothing is mixed).
        weight: Lambda, the image's own share, in 0..1; its partner's is 1 - weight.
    """

    images: torch.Tensor
    partners: torch.Tensor
    weight: float


def mix(
    images: torch.Tensor,
    synthetic: torch.Tensor,
    kind: Mix,
    alpha: float,
    generator: torch.Generator,
) -> Mixed:
    """Mix each image of a batch with another one; lambda is the same for the whole batch.

    Mixup: Zhang et al., 2018. CutMix: Yun et al., 2019; a box of the partner replaces a part of
    the image, and lambda is the share of the area that is left, after the box was clipped.

    Args:
        images: float32, shape (batch, 3, size, size), on any device.
        synthetic: bool, shape (batch,): whether each image is synthetic.
        kind: none; mixup; cutmix; mixup-or-cutmix (one of the two, at random); domain-mixup
            (Mixup of each real image with a random synthetic one of the batch and the other way
            round; plain Mixup where the batch has only one of the two kinds).
        alpha: Lambda is drawn from Beta(alpha, alpha).
        generator: A generator of the CPU; all is drawn from it.
    """
    count, device = len(images), images.device
    if kind == "none":
        return Mixed(images, torch.arange(count, device=device), 1.0)
    # torch's Beta takes no generator; numpy's is seeded from it.
    draw = np.random.default_rng(int(torch.randint(2**63 - 1, (), generator=generator)))
    weight = float(draw.beta(alpha, alpha))
    if kind == "mixup-or-cutmix":
        kind = "mixup" if draw.random() < 0.5 else "cutmix"
    if kind == "domain-mixup":
        partners = _of_the_other_kind(synthetic.cpu().numpy(), draw)
    else:
        partners = draw.permutation(count)
    others = send(torch.from_numpy(partners), device)
    if kind != "cutmix":
        return Mixed(torch.lerp(images[others], images, weight), others, weight)
    top, bottom, left, right = _box(images.shape[-2], images.shape[-1], weight, draw)
    mixed = images.clone()
    mixed[..., top:bottom, left:right] = images[others, :, top:bottom, left:right]
    replaced = (bottom - top) * (right - left) / (images.shape[-2] * images.shape[-1])
    return Mixed(mixed, others, 1 - replaced)


def _of_the_other_kind(synthetic: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Partners, int64, shape (batch,)."""
    made, real = np.flatnonzero(synthetic), np.flatnonzero(~synthetic)
    if not len(made) or not len(real):
        return draw.permutation(len(synthetic))
    partners = np.empty(len(synthetic), dtype=np.int64)
    partners[made] = draw.choice(real, len(made))
    partners[real] = draw.choice(made, len(real))
    return partners


def _box(
    height: int, width: int, weight: float, draw: np.random.Generator
) -> tuple[int, int, int, int]:
    """Top, bottom, left, right of a box of the area 1 - weight, before it is clipped."""
    share = float(np.sqrt(1 - weight))
    tall, wide = int(height * share), int(width * share)
    y, x = int(draw.integers(height)), int(draw.integers(width))
    top, left = y - tall // 2, x - wide // 2
    return max(top, 0), min(top + tall, height), max(left, 0), min(left + wide, width)
