"""An image file's bytes -> the pixels that are stored: an RGB square of one size.

The same function whether the pixels are held in memory or decoded anew each epoch, so that
results don't depend on it. torchvision decodes plain JPEG files, which is faster by half; whatever
else there is (PNG, CMYK, other formats, damage) goes to the careful decoder that the caller gives.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms.v2 import functional as transforms

CarefulDecoder = Callable[[bytes], Image.Image]
"""Decodes any image file, turned as its EXIF says; raises ValueError with the reason if it can't.
It must be a module's function, for worker processes to import."""

SMALL = 64
"""Up to this side, images are stored at the network's own size."""

_PNG = b"\x89PNG\r\n\x1a\n"
# Start-of-frame markers of the JPEGs that are in use: baseline, extended, progressive.
_FRAMES = (0xC0, 0xC1, 0xC2)
_STANDALONE = (0x01, *range(0xD0, 0xD9))
_MANY_PIXELS = 64_000_000
"""Larger images are left to the careful decoder, which knows what is too large."""


def stored_side(image_size: int) -> int:
    """Side in pixels at which images are stored, for a network that sees `image_size`.

    Small images are stored at that size; of larger ones a margin is kept (256 for 224), which a
    centre crop takes away again and a random crop uses.
    """
    return image_size if image_size <= SMALL else math.ceil(image_size * 8 / 7)


@dataclass(frozen=True)
class Decoder:
    """Decodes image files into stored pixels. Can be sent to worker processes.

    Attributes:
        side: Side of the result in pixels.
        careful: Decodes what isn't plain.
    """

    side: int
    careful: CarefulDecoder

    def __call__(self, data: bytes | None) -> torch.Tensor:
        """The pixels: the shorter side resized (bilinear, antialiased), the centre cut out.

        An image that has the right size already stays untouched.

        Args:
            data: The bytes of an image file; None for one that couldn't be read.

        Returns:
            uint8, shape (3, side, side).

        Raises:
            ValueError: It can't be used; the message is the reason, in a few words.
        """
        if data is None:
            raise ValueError("cannot be read")
        pixels = _decode_plain(data) if plain_size(data) is not None else None
        if pixels is None:
            levels = np.array(self.careful(data).convert("RGB"))
            pixels = torch.from_numpy(levels).permute(2, 0, 1)
        return _fit(pixels, self.side).contiguous()


def image_size(data: bytes, careful: CarefulDecoder) -> tuple[int, int]:
    """The longer and the shorter side of an image in pixels, which no EXIF orientation changes.

    Raises:
        ValueError: It can't be decoded.
    """
    size = plain_size(data) or _png_size(data) or careful(data).size
    return max(size), min(size)


def plain_size(data: bytes) -> tuple[int, int] | None:
    """Width and height (before the EXIF orientation) of a file that torchvision decodes rightly.

    These are JPEG of 8 bits, grey or of three components. Reads the header only. PNG isn't among
    them: on damaged pixels torchvision's decoder ends the whole process.

    Returns:
        None for all other files.
    """
    found = _jpeg_size(data)
    return found if found is not None and 0 < found[0] * found[1] <= _MANY_PIXELS else None


def _png_size(data: bytes) -> tuple[int, int] | None:
    if len(data) < 33 or not data.startswith(_PNG) or data[12:16] != b"IHDR":
        return None
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    # By hand: Pillow's lazy open takes a third of what decoding a small JPEG does, in every epoch.
    if data[:2] != b"\xff\xd8":
        return None
    position = 2
    while position + 10 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF or marker in _STANDALONE:  # padding, or a marker without a length
            position += 1 if marker == 0xFF else 2
            continue
        size = int.from_bytes(data[position + 2 : position + 4], "big")
        if marker in _FRAMES:
            depth, components = data[position + 4], data[position + 9]
            if depth != 8 or components not in (1, 3):
                return None
            height = int.from_bytes(data[position + 5 : position + 7], "big")
            return int.from_bytes(data[position + 7 : position + 9], "big"), height
        if marker == 0xE1 and b"tiff:Orientation" in data[position : position + 2 + size]:
            return None  # an orientation in XMP, which torchvision doesn't read
        position += 2 + size
    return None


def _decode_plain(data: bytes) -> torch.Tensor | None:
    """uint8, shape (3, height, width); None where torchvision can't."""
    try:
        pixels: torch.Tensor = decode_image(
            torch.frombuffer(bytearray(data), dtype=torch.uint8),
            ImageReadMode.RGB,
            apply_exif_orientation=True,
        )
    except RuntimeError:
        return None
    return pixels


def _fit(pixels: torch.Tensor, side: int) -> torch.Tensor:
    height, width = pixels.shape[-2:]
    if min(height, width) != side:
        pixels = transforms.resize(pixels, [side], antialias=True)
    if pixels.shape[-2:] != (side, side):
        pixels = transforms.center_crop(pixels, [side])
    return pixels


def pixel_sums(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Sums over images of each channel's levels, and of their squares.

    Args:
        images: Shape (images, 3, side, side).

    Returns:
        Shape (2, 3).
    """
    levels = images.astype(np.int64)
    return np.stack([levels.sum(axis=(0, 2, 3)), (levels**2).sum(axis=(0, 2, 3))])
