"""Stored images -> what the network sees: cropped, flipped, normalized, a batch at a time.

All random numbers are drawn on the CPU from the generator that is given, so that a GPU sees the
same crops as a CPU; torch's own generators stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torchvision.transforms import v2

from synfill.config.training import Augment
from synfill.records import Channels
from synfill.training.images.transfer import send

_PADDING = 8
"""A small image is padded by this part of its side before the crop: 4 pixels for CIFAR's 32."""
_SCALE = (0.08, 1.0)
_RATIO = (3 / 4, 4 / 3)
_TRIES = 10


class Augmenter:
    """Augments and normalizes batches of training images.

    Small images (stored at the network's own size) are cropped as the literature does on CIFAR:
    padded with black by an eighth of the side, and a random square of the original size is cut
    out. Larger ones get Inception's random resized crop (area 0.08 to 1, ratio 3/4 to 4/3,
    bilinear), as on ImageNet; the resizing isn't antialiased, since it shrinks by 8/7 at most.

    Args:
        kind: none (a centre crop); crop; crop-flip (and a horizontal flip of every second image);
            randaugment and trivialaugment (torchvision's, with its defaults, after crop-flip).
        image_size: Side in pixels of what the network sees.
        mean: Of each channel, in 0..1.
        std: Of each channel, in 0..1.
    """

    def __init__(self, kind: Augment, image_size: int, mean: Channels, std: Channels) -> None:
        self._kind = kind
        self._size = image_size
        self._mean, self._std = mean, std
        self._policy = _policy(kind)

    def __call__(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Augment one batch; every image on its own.

        Args:
            images: uint8, shape (batch, 3, side, side), on any device.
            generator: A generator of the CPU.

        Returns:
            float32, shape (batch, 3, image_size, image_size), normalized, on the images' device.
        """
        if self._kind == "none":
            return plain(images, self._size, self._mean, self._std)
        is_flipping = self._kind != "crop"
        crop = _pad_and_crop if images.shape[-1] == self._size else _resized_crop
        cropped = crop(images, self._size, is_flipping, generator)
        if self._policy is not None:
            cropped = _each(self._policy, _to_uint8(cropped), generator)
        return _normalize(cropped, self._mean, self._std)


def plain(images: torch.Tensor, image_size: int, mean: Channels, std: Channels) -> torch.Tensor:
    """Images as they are evaluated: the centre, normalized.

    Args:
        images: uint8, shape (batch, 3, side, side), on any device; side >= image_size.
        image_size: Side in pixels of what the network sees.
        mean: Of each channel, in 0..1.
        std: Of each channel, in 0..1.

    Returns:
        float32, shape (batch, 3, image_size, image_size), on the images' device.
    """
    first = (images.shape[-1] - image_size) // 2
    centre = slice(first, first + image_size)
    return _normalize(images[..., centre, centre], mean, std)


def _normalize(images: torch.Tensor, mean: Channels, std: Channels) -> torch.Tensor:
    device = images.device
    factor = torch.tensor([1 / (255 * s) for s in std]).view(3, 1, 1)
    shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)]).view(3, 1, 1)
    return (images.float() * send(factor, device)).add_(send(shift, device))


def _pad_and_crop(
    images: torch.Tensor, size: int, is_flipping: bool, generator: torch.Generator
) -> torch.Tensor:
    """uint8 in, uint8 of the same shape out."""
    count, device = len(images), images.device
    padding = size // _PADDING
    offsets = torch.randint(2 * padding + 1, (2, count), generator=generator)
    top, left = send(offsets, device)
    # A view of every square that could be cut out: picking from it copies only what is picked.
    squares = F.pad(images, (padding,) * 4).unfold(2, size, 1).unfold(3, size, 1)
    cropped = squares[torch.arange(count, device=device), :, top, left]
    if not is_flipping:
        return cropped
    flips = send(_flips(count, generator), device)
    return torch.where(flips[:, None, None, None], cropped.flip(3), cropped)


def _resized_crop(
    images: torch.Tensor, size: int, is_flipping: bool, generator: torch.Generator
) -> torch.Tensor:
    """uint8, shape (batch, 3, side, side), in; float32, 0..255, (batch, 3, size, size) out."""
    count, _, side, _ = images.shape
    top, left, height, width = draw_boxes(count, side, generator)
    if is_flipping:
        flips = _flips(count, generator)
        left, width = torch.where(flips, left + width, left), torch.where(flips, -width, width)
    # Pixel centres of the result, as grid_sample counts: -1 and 1 are the image's edges.
    steps = (torch.arange(size) + 0.5) / size
    across = (left[:, None] + steps * width[:, None]) * 2 / side - 1
    down = (top[:, None] + steps * height[:, None]) * 2 / side - 1
    grid = torch.empty(count, size, size, 2)
    grid[..., 0], grid[..., 1] = across[:, None, :], down[:, :, None]
    grid = send(grid, images.device)
    return F.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)


def draw_boxes(
    count: int, side: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Boxes of random area and ratio within a square (Szegedy et al., 2015; as in torchvision).

    Args:
        count: How many.
        side: The square's side in pixels.
        generator: A generator of the CPU.

    Returns:
        Top, left, height and width: float32 of whole pixels, shape (count,) each.
    """
    area, ratio, down, across = torch.rand(4, count, _TRIES, generator=generator)
    area = side**2 * (_SCALE[0] + area * (_SCALE[1] - _SCALE[0]))
    low, high = math.log(_RATIO[0]), math.log(_RATIO[1])
    ratio = torch.exp(low + ratio * (high - low))
    width, height = torch.sqrt(area * ratio).round(), torch.sqrt(area / ratio).round()
    fits = (width >= 1) & (width <= side) & (height >= 1) & (height <= side)
    # The first draw that fits (argmax is the first True); where none does, the whole square.
    first = fits.int().argmax(dim=1, keepdim=True)
    some = fits.any(dim=1)

    def chosen(values: torch.Tensor) -> torch.Tensor:
        return values.gather(1, first).squeeze(1)

    whole = torch.tensor(float(side))
    height = torch.where(some, chosen(height), whole)
    width = torch.where(some, chosen(width), whole)
    top = (chosen(down) * (side - height + 1)).floor()
    left = (chosen(across) * (side - width + 1)).floor()
    return top, left, height, width


def _flips(count: int, generator: torch.Generator) -> torch.Tensor:
    return torch.rand(count, generator=generator) < 0.5


def _policy(kind: Augment) -> Callable[[torch.Tensor], torch.Tensor] | None:
    if kind not in ("randaugment", "trivialaugment"):
        return None
    policy: Callable[[torch.Tensor], torch.Tensor] = (
        v2.RandAugment() if kind == "randaugment" else v2.TrivialAugmentWide()
    )
    return policy


def _to_uint8(images: torch.Tensor) -> torch.Tensor:
    if images.dtype == torch.uint8:
        return images
    return images.round().clamp(0, 255).to(torch.uint8)


def _each(
    policy: Callable[[torch.Tensor], torch.Tensor],
    images: torch.Tensor,
    generator: torch.Generator,
) -> torch.Tensor:
    """A policy for each image; torchvision draws from torch's own generator of the CPU."""
    seed = int(torch.randint(2**63 - 1, (), generator=generator))
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which would seed the GPUs as well.
        torch.default_generator.manual_seed(seed)
        return torch.stack([policy(image) for image in images])
