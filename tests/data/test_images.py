import io
import random
import struct
import warnings
import zlib

import numpy as np
import pyarrow as pa
import pytest
from datasets_fixtures import encode, image_bytes, make_imagefolder, make_parquet, noise_image
from PIL import Image, ImageFile

from synfill.data.images import BadImage, decode, inspect, inspect_split
from synfill.data.source import open_source

FORMATS = ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "ICO", "TGA", "AVIF"]


def png_of_size(width, height):
    """A PNG that claims a size, with hardly any data."""

    def chunk(kind, data):
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0"))


@pytest.mark.parametrize("format", FORMATS)
def test_formats(format):
    data = image_bytes(1, (16, 16), format)
    profile = inspect(data)
    assert (profile.format, profile.size) == (format, (16, 16))
    assert decode(data).size == (16, 16)


def test_a_decoded_image_is_the_image():
    image = noise_image(3)
    assert np.array_equal(np.asarray(decode(encode(image))), np.asarray(image))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I;16"])
def test_grey_stays_grey(mode):
    image = noise_image(1).convert("L")
    image = (
        Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
        if mode == "I;16"
        else image.convert(mode)
    )
    data = encode(image)
    assert inspect(data).mode == mode
    assert decode(data).mode == "L"


@pytest.mark.parametrize(
    ("mode", "format"), [("P", "PNG"), ("RGBA", "PNG"), ("CMYK", "TIFF"), ("YCbCr", "TIFF")]
)
def test_colour_becomes_rgb(mode, format):
    data = encode(noise_image(1).convert(mode), format)
    assert decode(data).mode == "RGB"


def test_a_cmyk_jpeg_keeps_its_colours():
    red = Image.new("RGB", (16, 16), (250, 10, 10))
    pixel = decode(encode(red.convert("CMYK"), "JPEG", quality=95)).getpixel((8, 8))
    assert np.allclose(pixel, (250, 10, 10), atol=6)


def test_16_bits_are_scaled_not_clipped():
    levels = np.array([[0, 257, 128 * 257, 65535]], dtype=np.uint16)
    assert np.asarray(decode(encode(Image.fromarray(levels)))).tolist() == [[0, 1, 128, 255]]
    wide = Image.fromarray(levels.astype(np.int32))
    assert np.asarray(decode(encode(wide, "TIFF"))).tolist() == [[0, 1, 128, 255]]


def test_floats_are_scaled():
    levels = np.array([[0.0, 0.5, 1.0, np.nan]], dtype=np.float32)
    data = encode(Image.fromarray(levels), "TIFF")
    assert np.asarray(decode(data)).tolist() == [[0, 128, 255, 0]]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB"])
def test_transparency_is_white(mode):
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0)).convert(mode)
    marked = {"RGB": {"transparency": (0, 0, 0)}, "P": {"transparency": image.getpixel((0, 0))}}
    data = encode(image, **marked.get(mode, {}))
    white = 255 if mode == "LA" else (255, 255, 255)
    assert decode(data).getpixel((0, 0)) == white


def test_the_first_frame_of_an_animation():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime")]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(data).getpixel((0, 0)) == (255, 0, 0)


def test_a_stereo_photo_is_its_first_picture():
    image, second = noise_image(1, (32, 32)), noise_image(2, (32, 32))
    data = encode(image, "MPO", save_all=True, append_images=[second])
    profile = inspect(data)
    assert profile.format == "MPO"
    assert profile.jpeg_tables is not None
    assert decode(data).size == (32, 32)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation):
    from PIL import ImageOps

    image = noise_image(1, (8, 12))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(image, "PNG", exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert np.array_equal(np.asarray(decode(data)), np.asarray(expected))
    assert inspect(data).size == expected.size


def test_what_a_jpeg_is_made_with():
    image = noise_image(1, (32, 24))
    low, high = (
        inspect(encode(image, "JPEG", quality=q, subsampling=s)) for q, s in ((50, 2), (95, 0))
    )
    assert (low.size, low.mode, low.subsampling, high.subsampling) == ((32, 24), "RGB", 2, 0)
    assert len(low.jpeg_tables) == 2 and len(low.jpeg_tables[0]) == 64
    assert low.jpeg_tables[0][0] > high.jpeg_tables[0][0]
    assert low == inspect(encode(noise_image(2, (32, 24)), "JPEG", quality=50, subsampling=2))


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("options", [{}, {"exif": b"Exif\0\0"}, {"save_all": True}])
def test_lossless_webp(lossless, options):
    if "save_all" in options:
        options = {"save_all": True, "append_images": [noise_image(2)]}
    assert (
        inspect(encode(noise_image(1), "WEBP", lossless=lossless, **options)).lossless is lossless
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "cannot be read"),
        (b"", "empty file"),
        (b"hello, world", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        (image_bytes(1)[:-40], "truncated"),
        (image_bytes(1, (64, 64), "JPEG")[:-300], "truncated"),
        (png_of_size(40_000, 40_000), "decompression bomb: 1600000000 pixels"),
    ],
)
def test_bad_images(data, reason):
    with pytest.raises(BadImage, match=f"^{reason}"):
        inspect(data)
    if data is not None:
        with pytest.raises(BadImage, match=f"^{reason}"):
            decode(data)


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_every_cut_of_a_jpeg_is_noticed(options):
    data = encode(noise_image(1, (40, 40)), "JPEG", **options)
    # The last two bytes only say that it ends here.
    for length in range(0, len(data) - 16, 13):
        with pytest.raises(BadImage):
            inspect(data[:length])


@pytest.mark.parametrize("format", FORMATS)
def test_damage_of_any_kind_is_a_bad_image_at_worst(format):
    random_source = random.Random(format)
    whole = image_bytes(1, (16, 16), format)
    for _ in range(120):
        data = bytearray(whole)
        for _ in range(random_source.choice((1, 4, 40))):
            data[random_source.randrange(len(data))] = random_source.randrange(256)
        if random_source.random() < 0.3:
            del data[random_source.randrange(len(data)) :]
        for look in (inspect, decode):
            try:
                look(bytes(data))
            except BadImage as error:
                assert 0 < len(str(error)) < 60


def test_pillow_is_left_as_it_was():
    before = (ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS, list(warnings.filters))
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        with pytest.raises(BadImage):
            inspect(png_of_size(10_000, 10_000))
        with pytest.raises(BadImage):
            decode(png_of_size(40_000, 40_000))
    assert heard == []
    after = (ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS, list(warnings.filters))
    assert after == before


def test_inspecting_a_split(tmp_path):
    make_imagefolder(tmp_path, {"a": 40, "b": 2})
    (tmp_path / "a" / "3.png").write_bytes(b"")
    (tmp_path / "b" / "1.png").write_bytes(image_bytes(1, (8, 8), "JPEG"))
    source = open_source(str(tmp_path))
    done = []
    found = inspect_split(source, "train", on_progress=done.append)
    assert [profile.format for profile in found.profiles] == ["PNG", "JPEG"]
    assert found.codes.tolist() == [0, 0, 0, -1, *[0] * 37, 1]
    assert [(bad.row, bad.where, bad.reason) for bad in found.bad] == [(3, "a/3.png", "empty file")]
    assert done == [32, 42]
    some = inspect_split(source, "train", np.array([3, 41]))
    assert some.codes.tolist() == [-1, 0]
    assert [bad.row for bad in some.bad] == [3]


def test_the_digest_tells_contents_and_order(tmp_path):
    import pyarrow.parquet as pq

    def digest(images, row_group_size=None):
        table = pa.table({"image": pa.array(images, pa.binary())})
        pq.write_table(table, tmp_path / "x.parquet", row_group_size=row_group_size)
        return inspect_split(open_source(str(tmp_path)), "train").digest

    one, two = image_bytes(1), image_bytes(2)
    same = digest([one, two, None])
    assert same == digest([one, two, None], row_group_size=1)
    others = [[two, one, None], [one, two], [one, two, b""], [one, one, None]]
    assert len({same, *map(digest, others)}) == 5


def test_a_folder_and_a_parquet_of_the_same_images_agree(tmp_path):
    folder = open_source(str(make_imagefolder(tmp_path / "folder", {"a": 3})))
    parquet = open_source(str(make_parquet(tmp_path / "x.parquet", {"a": 3})))
    assert inspect_split(folder, "train").digest == inspect_split(parquet, "train").digest
