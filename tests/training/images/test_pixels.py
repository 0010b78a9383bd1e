import os

import numpy as np
import pytest
import torch
from datasets_fixtures import encode, image_bytes, noise_image
from PIL import Image

from synfill.data.images import decode
from synfill.training.images.decoding import (
    Decoder,
    image_size,
    pixel_sums,
    plain_size,
    stored_side,
)
from synfill.training.images.pixels import MemoryStore, read_images
from synfill.training.images.stream import StreamStore, Workers, write_flat_file

EXIF = Image.Exif()
EXIF[0x0112] = 6


def with_alpha():
    image = noise_image(1).convert("RGBA")
    image.putalpha(noise_image(2).convert("L"))
    return image


FILES = {
    "jpeg": image_bytes(1, format="JPEG"),
    "grey jpeg": image_bytes(1, format="JPEG", mode="L"),
    "cmyk jpeg": image_bytes(1, format="JPEG", mode="CMYK"),
    "progressive jpeg": encode(noise_image(1), "JPEG", progressive=True),
    "turned jpeg": encode(noise_image(1), "JPEG", exif=EXIF),
    "png": image_bytes(1),
    "grey png": image_bytes(1, mode="L"),
    "1-bit png": image_bytes(1, mode="1"),
    "16-bit png": encode(Image.fromarray(np.arange(256, dtype=np.uint16).reshape(16, 16) * 257)),
    "palette png": encode(noise_image(1).quantize(16)),
    "png with alpha": encode(with_alpha()),
    "png with a transparent colour": encode(noise_image(1), transparency=(0, 0, 0)),
    "turned png": encode(noise_image(1), exif=EXIF),
    "webp": image_bytes(1, format="WEBP"),
    "gif": image_bytes(1, format="GIF"),
}
PLAIN = {"jpeg", "grey jpeg", "progressive jpeg", "turned jpeg"}


def in_chunks(files, size=3):
    return [files[first : first + size] for first in range(0, len(files), size)]


def refuse(data):
    raise AssertionError("torchvision should have decoded this")


@pytest.mark.parametrize("name", FILES)
def test_decoded_as_the_careful_decoder_does(name):
    data = FILES[name]
    wanted = np.asarray(decode(data).convert("RGB"))
    pixels = Decoder(16, refuse if name in PLAIN else decode)(data)
    assert pixels.dtype == torch.uint8 and pixels.is_contiguous()
    assert np.array_equal(pixels.permute(1, 2, 0).numpy(), wanted)
    assert (plain_size(data) is not None) == (name in PLAIN)
    assert image_size(data, decode) == (16, 16)


def test_stored_size():
    assert [stored_side(size) for size in (8, 32, 64, 65, 224)] == [8, 32, 64, 75, 256]


@pytest.mark.parametrize("size", [(40, 20), (20, 40), (20, 20), (10, 15), (300, 16)])
def test_other_sizes_are_resized_and_cut(size):
    gradient = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    gradient[..., 0] = np.linspace(0, 255, size[0]).astype(np.uint8)
    pixels = Decoder(16, decode)(encode(Image.fromarray(gradient)))
    assert pixels.shape == (3, 16, 16) and pixels[1:].max() == 0
    middle = pixels[0, 8].float()
    assert abs(middle.mean() - 127) < 8 and (middle.diff() >= 0).all()
    assert image_size(encode(Image.fromarray(gradient)), decode) == (max(size), min(size))


def test_damaged_files():
    whole = image_bytes(1, (64, 64), "JPEG")
    for data, reason in [
        (whole[:600], "truncated"),
        (b"", "empty"),
        (b"GIF89a nothing", "not an image|cannot be read"),
    ]:
        with pytest.raises(ValueError, match=reason):
            Decoder(16, decode)(data)
    with pytest.raises(ValueError, match="cannot be read"):
        Decoder(16, decode)(None)
    # Headers that claim too much, or nothing: no such memory is taken.
    png = bytearray(image_bytes(1))
    png[16:24] = b"\x00\x01\x00\x00" * 2
    for data in (
        bytes(png),
        whole[:2] + whole[2:].replace(b"\x00\x40\x00\x40", b"\xff\xff\xff\xff", 1),
    ):
        assert plain_size(data) is None
        with pytest.raises(ValueError):
            Decoder(16, decode)(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_flipped_byte_never_ends_the_process(kind):
    """torchvision's PNG decoder would end it, with no word of which file it was."""
    whole = image_bytes(1, (64, 64), kind)
    read, refused = 0, 0
    for position in range(40, len(whole), max(1, len(whole) // 60)):
        data = bytearray(whole)
        data[position] ^= 0xFF
        try:
            assert Decoder(16, decode)(bytes(data)).shape == (3, 16, 16)
            read += 1
        except ValueError:
            refused += 1
    assert refused > 40 if kind == "PNG" else read > 40


def test_reading_finds_bad_images_and_sums_the_counted():
    files = [image_bytes(seed) for seed in range(10)]
    files[1], files[8] = b"no image", None
    held = torch.full((10, 3, 16, 16), 7, dtype=torch.uint8)
    done = []
    reading = read_images(in_chunks(files), 10, Decoder(16, decode), 6, held, done.append)
    assert reading.bad == {1: "not an image", 8: "cannot be read"}
    good = [Decoder(16, decode)(files[at]) for at in (0, 2, 3, 4, 5)]
    assert np.array_equal(reading.sums, pixel_sums(torch.stack(good).numpy()))
    assert torch.equal(held[2], good[1])
    assert len(np.unique(reading.digests, axis=0)) == 10 and done[-1] == 10


def test_memory_and_stream_hold_the_same(tmp_path):
    files = [*FILES.values(), *(image_bytes(seed, (24, 20), "JPEG") for seed in range(20))]
    decoder = Decoder(16, decode)
    held = torch.empty((len(files), 3, 16, 16), dtype=torch.uint8)
    in_memory = read_images(in_chunks(files), len(files), decoder, 9, held)
    flat, reading = write_flat_file(tmp_path, lambda: in_chunks(files), len(files), decoder, 9)
    assert np.array_equal(reading.digests, in_memory.digests)
    assert np.array_equal(reading.sums, in_memory.sums)
    workers = Workers(flat, 2, "cpu")
    ordinals = np.arange(5, len(files))
    stream, memory = StreamStore(workers, ordinals), MemoryStore(held[5:], "cpu")
    assert len(stream) == len(memory) == len(files) - 5
    generator = np.random.default_rng(0)
    for _ in range(2):
        order = [generator.integers(len(memory), size=size) for size in (8, 3, 8, 1, 5)]
        pairs = zip(stream.batches(order), memory.batches(order), order, strict=True)
        for ours, theirs, positions in pairs:
            assert ours.shape == (len(positions), 3, 16, 16) and torch.equal(ours, theirs)
        next(stream.batches(order))  # one that is given up leaves nothing behind
    begun = stream.batches([np.array([0])] * 9)
    next(begun)
    next(StreamStore(workers, ordinals).batches([np.array([1])]))
    with pytest.raises(RuntimeError, match="another iteration"):
        next(begun)


def test_the_flat_file_is_used_again_only_for_the_same_images(tmp_path):
    def write(files, decoder=None, counted=4):
        flat, reading = write_flat_file(
            tmp_path, lambda: in_chunks(files), len(files), decoder or Decoder(16, decode), counted
        )
        assert [flat.decoder(files[at]).sum() for at in (0, 3)] == [
            flat.__getitems__([at]).sum() for at in (0, 3)
        ]
        return flat, reading, os.stat(tmp_path / "images.bin").st_ino

    files = [image_bytes(seed) for seed in range(6)]
    files[2] = b"no image"
    _, reading, first = write(files)
    _, again, inode = write(files)
    assert inode == first and again.bad == reading.bad == {2: "not an image"}
    assert np.array_equal(again.sums, reading.sums)
    changed = [*files[:5], image_bytes(9)]
    for other in (
        lambda: write(changed),
        lambda: write(files[:5]),
        lambda: write(files, Decoder(8, decode)),
        lambda: write(files, counted=3),
    ):
        _, _, inode = other()
        assert inode != first
        first = inode
    with open(tmp_path / "images.bin", "ab") as file:
        file.truncate(100)
    assert write(files)[1].bad == {2: "not an image"}
