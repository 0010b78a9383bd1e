"""Pixels -> an image file of the same kind as the real ones.

A classifier that could tell synthetic images by their size, file format, colour mode or JPEG
quality would learn that. The same pixels and profile always give the same bytes. Knows no torch.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from synfill.records import ImageProfile

_EXTENSIONS: Final[Mapping[str, str]] = {
    "AVIF": ".avif",
    "BMP": ".bmp",
    "GIF": ".gif",
    "ICO": ".ico",
    "JPEG": ".jpg",
    "JPEG2000": ".jp2",
    "PCX": ".pcx",
    "PNG": ".png",
    "PPM": ".ppm",
    "SGI": ".sgi",
    "TGA": ".tga",
    "TIFF": ".tiff",
    "WEBP": ".webp",
}
"""The formats that are written. Anything else becomes PNG, which loses nothing."""

# Several pictures in one JPEG file, as some phones write; its first picture is a plain JPEG.
_SAME_AS: Final[Mapping[str, str]] = {"MPO": "JPEG"}

# 0..255 -> 0..65535, so that white stays white.
_TO_16_BITS: Final = 257

_PALETTE_COLOURS: Final = 256


def encode(pixels: NDArray[np.uint8], profile: ImageProfile) -> bytes:
    """Make an image file with the size, mode, format and quality of the real images.

    The centre is cropped to the target's aspect ratio and resized with antialiasing (Lanczos).
    Where the format can't hold the mode, the nearest mode that it can hold is taken. An alpha
    channel is opaque (WebP leaves such a one out).

    Args:
        pixels: uint8, shape (height, width, 3), RGB.
        profile: How the real images are made.

    Returns:
        The file's content.
    """
    image = _fit(Image.fromarray(pixels), profile.size)
    format_ = _format(profile)
    options = _options(format_, profile)
    buffer = io.BytesIO()
    for mode in (profile.mode, _plain_mode(profile.mode), "RGB"):
        try:
            _to_mode(image, mode).save(buffer, format_, **options)
        except (OSError, ValueError, KeyError):
            # Pillow's way to say that this format has no such mode.
            if mode == "RGB":
                raise
            buffer = io.BytesIO()
        else:
            break
    return buffer.getvalue()


def extension(profile: ImageProfile) -> str:
    """The file name suffix of what `encode` makes, with its dot."""
    return _EXTENSIONS[_format(profile)]


def _format(profile: ImageProfile) -> str:
    name = profile.format.upper()
    name = _SAME_AS.get(name, name)
    Image.init()
    return name if name in _EXTENSIONS and name in Image.SAVE else "PNG"


def _fit(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    width, height = image.size
    scale = min(width / size[0], height / size[1])
    crop_width, crop_height = size[0] * scale, size[1] * scale
    left, top = (width - crop_width) / 2, (height - crop_height) / 2
    box = (left, top, left + crop_width, top + crop_height)
    if size == image.size:
        return image
    return image.resize(size, Image.Resampling.LANCZOS, box=box)


def _to_mode(image: Image.Image, mode: str) -> Image.Image:
    if mode in ("P", "PA"):
        return image.quantize(_PALETTE_COLOURS, Image.Quantize.MEDIANCUT)
    if mode in ("I;16", "I;16B", "I;16L", "I;16N", "I"):
        # "I" is how Pillow gave 16-bit grey PNG files before it had a mode for them.
        grey = np.asarray(image.convert("L"), np.int32 if mode == "I" else np.uint16)
        return Image.fromarray(grey * _TO_16_BITS)
    return image.convert(mode)


def _plain_mode(mode: str) -> str:
    """The nearest mode that almost every format holds."""
    return "L" if mode in ("1", "L", "LA", "La", "F") or mode.startswith("I") else "RGB"


def _options(format_: str, profile: ImageProfile) -> dict[str, Any]:
    if format_ == "WEBP":
        return {"lossless": profile.lossless}
    if format_ != "JPEG":
        return {}
    options: dict[str, Any] = {"progressive": profile.progressive}
    if profile.jpeg_tables:
        options["qtables"] = [list(table) for table in profile.jpeg_tables]
    if profile.subsampling >= 0:
        options["subsampling"] = profile.subsampling
    return options
