from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, features

from synfill.generation.fill.encode import encode, extension
from synfill.records import ImageProfile


def picture(width, height):
    y, x = np.mgrid[0:height, 0:width]
    red, green = x * 255 / width, y * 255 / height
    return np.stack([red, green, (red + green) / 2], axis=-1).astype(np.uint8)


PIXELS = picture(64, 64)


def opened(content):
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def profile_of(content):
    """What a reader of the dataset finds out about a file, as far as it matters here."""
    image = opened(content)
    tables = getattr(image, "quantization", None)
    subsampling = -1
    if image.format == "JPEG":
        from PIL import JpegImagePlugin

        subsampling = JpegImagePlugin.get_sampling(image)
    return ImageProfile(
        image.format,
        image.mode,
        image.size,
        tuple(tuple(table) for table in tables.values()) if tables else None,
        subsampling,
    )


def saved(image, format_, **options):
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("quality", [35, 75, 95])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_jpeg_takes_the_real_ones_tables_mode_and_subsampling(mode, quality, subsampling):
    real = saved(
        Image.fromarray(picture(40, 30)).convert(mode),
        "JPEG",
        quality=quality,
        subsampling=subsampling,
    )
    profile = profile_of(real)
    made = encode(PIXELS, profile)
    assert profile_of(made) == profile
    assert extension(profile) == ".jpg"


@pytest.mark.parametrize(
    ("format_", "mode"),
    [
        ("PNG", "RGB"),
        ("PNG", "L"),
        ("PNG", "1"),
        ("PNG", "P"),
        ("PNG", "LA"),
        ("PNG", "RGBA"),
        ("PNG", "I;16"),
        ("BMP", "RGB"),
        ("BMP", "L"),
        ("GIF", "P"),
        ("TIFF", "RGB"),
        ("TIFF", "CMYK"),
        ("TIFF", "I;16"),
        ("TIFF", "F"),
        ("TIFF", "I"),
        ("PPM", "RGB"),
        ("WEBP", "RGB"),
    ],
)
def test_every_mode_comes_back_as_it_was_asked_for(format_, mode):
    made = opened(encode(PIXELS, ImageProfile(format_, mode, (24, 16))))
    assert (made.format, made.mode, made.size) == (format_, mode, (24, 16))


def test_16_bit_grey_uses_the_whole_range():
    white = np.full((8, 8, 3), 255, np.uint8)
    made = np.asarray(opened(encode(white, ImageProfile("PNG", "I;16", (8, 8)))))
    assert made.dtype == np.uint16 and made.min() == 65535


def test_alpha_is_opaque():
    made = np.asarray(opened(encode(PIXELS, ImageProfile("PNG", "RGBA", (8, 8)))))
    assert (made[..., 3] == 255).all()


def test_webp_lossless_keeps_the_pixels():
    profile = ImageProfile("WEBP", "RGB", (64, 64), lossless=True)
    assert np.array_equal(np.asarray(opened(encode(PIXELS, profile))), PIXELS)
    lossy = ImageProfile("WEBP", "RGB", (64, 64))
    assert not np.array_equal(np.asarray(opened(encode(PIXELS, lossy))), PIXELS)


@pytest.mark.parametrize("format_", ["PSD", "XPM", "", "PDF", "EPS"])
def test_a_format_that_is_not_written_becomes_png(format_):
    profile = ImageProfile(format_, "RGB", (8, 8))
    assert opened(encode(PIXELS, profile)).format == "PNG"
    assert extension(profile) == ".png"


def test_a_phones_multi_picture_jpeg_becomes_a_plain_one():
    profile = ImageProfile("MPO", "RGB", (8, 8))
    assert opened(encode(PIXELS, profile)).format == "JPEG"
    assert extension(profile) == ".jpg"


@pytest.mark.parametrize(
    ("format_", "mode", "becomes"),
    [("JPEG", "RGBA", "RGB"), ("JPEG", "LA", "L"), ("PNG", "CMYK", "RGB"), ("PNG", "LAB", "RGB")],
)
def test_a_mode_that_the_format_cannot_hold_becomes_the_nearest(format_, mode, becomes):
    made = opened(encode(PIXELS, ImageProfile(format_, mode, (8, 8))))
    assert (made.format, made.mode) == (format_, becomes)


def test_the_centre_is_cropped_to_the_aspect():
    pixels = np.zeros((60, 120, 3), np.uint8)
    pixels[:, 30:90] = 255
    made = np.asarray(opened(encode(pixels, ImageProfile("PNG", "L", (20, 20)))))
    assert made.min() > 230
    tall = np.asarray(opened(encode(pixels, ImageProfile("PNG", "L", (40, 20)))))
    assert tall[:, 0].max() == 0 and tall[:, 20].min() == 255


def test_shrinking_is_antialiased():
    board = np.indices((64, 64)).sum(axis=0) % 2 * 255
    pixels = np.repeat(board[..., None], 3, axis=2).astype(np.uint8)
    made = np.asarray(opened(encode(pixels, ImageProfile("PNG", "L", (16, 16)))))
    assert abs(int(made[2:-2, 2:-2].min()) - 128) < 12


def test_the_bytes_are_always_the_same():
    formats = ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"]
    formats += ["AVIF"] if features.check("avif") else []
    for format_ in formats:
        profile = ImageProfile(format_, "P" if format_ == "GIF" else "RGB", (20, 20))
        assert encode(PIXELS, profile) == encode(PIXELS.copy(), profile)
