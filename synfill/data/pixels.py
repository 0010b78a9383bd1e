"""An image's pixels as a classifier is to see them: 8 bits of grey or RGB, nothing else. Pure."""

import numpy as np
from PIL import Image


def flatten(image: Image.Image) -> Image.Image:
    """A loaded image in mode "L" (grey of 1, 8, 16 or 32 bits, floats) or "RGB" (all else).

    More than 8 bits are scaled, never clipped; transparency is shown over white.
    """
    if image.mode.startswith("I") or image.mode == "F":
        return _scale_to_8_bit(image)
    if image.mode in ("La", "RGBa"):
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    mode = "L" if image.mode in ("1", "L", "LA") else "RGB"
    if image.has_transparency_data:
        above = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, above).convert(mode)
    return image.convert(mode)


def _scale_to_8_bit(image: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits, or floats, as 8 bits: scaled, never clipped."""
    levels = np.asarray(image).astype(np.float64)
    levels = np.nan_to_num(levels, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(levels.min()), float(levels.max())
    if image.mode == "F" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    elif low >= 0 and high <= 65535 and image.mode != "F":
        low, high = 0.0, 65535.0
    elif image.mode == "F" and low >= 0 and high <= 255:
        low, high = 0.0, 255.0
    scaled = (levels - low) * (255.0 / max(high - low, 1e-12))
    return Image.fromarray(np.rint(scaled).astype(np.uint8))
