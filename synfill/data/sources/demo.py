"""The built-in dataset: handwritten digits in coloured ink, small enough to see everything work.

Takes nothing and downloads nothing: the 1,797 real scans (8x8) come with scikit-learn. They are
shown at 32x32 in one of four inks; class = digit, group = ink. The train split is unevenly filled
on purpose, the other splits are not:

- test: 50 scans a digit, each in all four inks (2,000 images);
- validation: 20 other scans a digit, likewise (800);
- the remaining scans, 104 to 113 a digit, are the *pool*;
- train: a long-tailed part of the pool (imbalance factor 50), each scan once and in one ink. Most
  of a digit's images (85 %) are in the digit's own ink, the others are spread over the other inks:
  class imbalance, group imbalance and a spurious correlation in one.

The pool in all four inks is what the demo's generator was trained on; it stands in for the
web-scale data of a public model. No scan is in two of test, validation and pool.

Knows neither the generator nor what the rows are wanted for. The bytes of every image are the same
on every machine: all arithmetic is done in integers, and the PNG is written uncompressed here,
since the output of a deflate library differs from version to version.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from synfill.data.listed import Listed, ListedSource
from synfill.data.source import Column, Given, Origin, SourceKind
from synfill.errors import UsageError, suggest

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
"""The class names, in order of the digit."""

INKS: Mapping[str, tuple[int, int, int]] = {
    "red": (214, 39, 40),
    "green": (24, 140, 60),
    "blue": (30, 90, 220),
    "purple": (140, 40, 170),
}
"""The inks and their colours, RGB in 0..255."""

PAPER = (250, 249, 245)
"""The colour of the paper, RGB in 0..255."""

SIZE = 32
"""Width and height of an image in pixels."""

IMBALANCE_FACTOR = 50
"""The largest class of train over the smallest."""

OWN_INK_SHARE = 0.85
"""The share of a digit's images in train that are in the digit's own ink."""

TEST_SCANS = 50
VALIDATION_SCANS = 20
LARGEST_CLASS = 100
"""Images of the largest class in train; the pool has at least 104 scans of every digit."""

SEED = 20_240

_SCAN_SIZE = 8
_SCAN_MAXIMUM = 16


def own_ink(digit: int) -> int:
    """The ink that most of a digit's images in train have, as a position in INKS."""
    return digit % len(INKS)


@dataclass(frozen=True, eq=False)
class _Split:
    """Which scans a split shows and in which ink: int64, shape (images,) each."""

    scans: NDArray[np.int64]
    inks: NDArray[np.int64]


class DemoSource(ListedSource):
    """The built-in dataset as a source with the splits train, validation and test.

    Columns: image (32x32 RGB PNG), label (ClassLabel zero..nine), ink (ClassLabel red, green,
    blue, purple). Which scan goes where is fixed. The scans are UCI's Optical Recognition of
    Handwritten Digits.

    Args:
        pool_only: Give one split instead, "pool": all scans that are in neither validation nor
            test, each in all four inks. Train is a part of it.
    """

    def __init__(self, pool_only: bool = False) -> None:
        """Deals the scans out; draws none of them."""
        parts = _part_scans()
        self._dealt: dict[str, _Split] = (
            {"pool": _all_inks(parts["pool"])}
            if pool_only
            else {
                "train": _long_tail(parts["pool"]),
                "validation": _all_inks(parts["validation"]),
                "test": _all_inks(parts["test"]),
            }
        )
        super().__init__(
            Origin("demo", "demo", is_local=False, licence="cc-by-4.0"),
            {split: _list(dealt) for split, dealt in self._dealt.items()},
            (
                Column("image", "image", {"_type": "Image"}),
                Column("label", "class", {"names": list(DIGITS), "_type": "ClassLabel"}),
                Column("ink", "class", {"names": list(INKS), "_type": "ClassLabel"}),
            ),
        )

    @classmethod
    def pool(cls) -> DemoSource:
        """What the demo's generator was trained on, as a source with the one split "pool"."""
        return cls(pool_only=True)

    def scans(self, split: str) -> NDArray[np.int64]:
        """Which of scikit-learn's 1,797 scans each row shows: int64, shape (images,)."""
        return self._dealt[split].scans.copy()

    def read_column(self, split: str, name: str) -> pa.ChunkedArray:
        """One column that isn't an image, of all rows of a split. Draws no image.

        Raises:
            UsageError: There is no such split or column, or it is the image column.
        """
        if split not in self.splits:
            raise UsageError(
                f"The demo has no split '{split}'.", suggest(split, self.splits, "splits")
            )
        if name not in (labels := ("label", "ink")):
            raise UsageError(
                f"The demo has no column '{name}' with labels.", suggest(name, labels, "columns")
            )
        return super().read_column(split, name)

    def read_image(self, split: str, row: int) -> bytes:
        """The PNG of a scan."""
        dealt = self._dealt[split]
        return _image(int(dealt.scans[row]), int(dealt.inks[row]))

    def describe_row(self, split: str, row: int) -> str:
        """Where an image is, for a message: "demo train row 17 (scan-0431-red.png)"."""
        return f"demo {split} row {row} ({super().describe_row(split, row)})"

    def image_bytes(self, split: str) -> int:
        """Bytes of a split's images: they are all of one size."""
        return self.count(split) * len(_image(0, 0))

    def stamp(self) -> str | None:
        """None: the images are drawn, which takes a moment."""
        return None


class Demo(SourceKind):
    """The built-in dataset (demo)."""

    name: Literal["demo"] = "demo"

    def is_meant(self, given: Given) -> bool:
        """By its name; a folder of that name is reached as ./demo."""
        return given.spec == "demo"

    def open(self, given: Given) -> DemoSource:
        """Deal the scans out."""
        return DemoSource()


def draw(scan: NDArray[np.int64], ink: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Shows a scan in an ink, enlarged smoothly (Catmull-Rom).

    Args:
        scan: Shape (8, 8), how much ink there is, 0..16.
        ink: The ink's colour, RGB in 0..255.

    Returns:
        RGB, shape (32, 32, 3), 0..255.
    """
    weights, scale = _enlarging()
    full = _SCAN_MAXIMUM * scale * scale
    cover = np.clip(weights @ scan @ weights.T, 0, full)[:, :, None]
    paper, colour = np.array(PAPER, dtype=np.int64), np.array(ink, dtype=np.int64)
    pixels: NDArray[np.int64] = (paper * (full - cover) + colour * cover + full // 2) // full
    return pixels.astype(np.uint8)


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """An uncompressed PNG: the same bytes whatever library there is.

    Args:
        pixels: RGB, shape (height, width, 3), 0..255; at most 65,535 bytes with one filter byte
            a row, which is what one stored block of deflate holds.
    """
    height, width, _ = pixels.shape
    lines = np.zeros((height, 1 + width * 3), dtype=np.uint8)  # filter 0 begins every line
    lines[:, 1:] = pixels.reshape(height, -1)
    raw = lines.tobytes()
    block = b"\x01" + struct.pack("<HH", len(raw), len(raw) ^ 0xFFFF) + raw
    data = b"\x78\x01" + block + struct.pack(">I", zlib.adler32(raw))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    )


@cache
def _digits() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The scans, shape (1797, 8, 8), 0..16, and their digits, shape (1797,), 0..9."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return data.images.astype(np.int64), data.target.astype(np.int64)


@cache
def _image(scan: int, ink: int) -> bytes:
    """The PNG of a scan in an ink; 24 MB if all of them were asked for."""
    return encode_png(draw(_digits()[0][scan], tuple(INKS.values())[ink]))


def _list(dealt: _Split) -> Listed:
    inks = tuple(INKS)
    pairs = zip(dealt.scans, dealt.inks, strict=True)
    table = pa.table({"label": _digits()[1][dealt.scans], "ink": dealt.inks})
    return Listed([f"scan-{scan:04d}-{inks[ink]}.png" for scan, ink in pairs], table)


@cache
def _enlarging() -> tuple[NDArray[np.int64], int]:
    """Interpolation weights in whole numbers, shape (32, 8), and what each row of them sums to.

    Beyond the scan there is paper: rows at the edge sum to less.
    """
    factor = SIZE // _SCAN_SIZE
    unit = 2 * factor  # distances between pixel centres are whole multiples of 1 / unit
    weights = np.zeros((SIZE, _SCAN_SIZE), dtype=np.int64)
    for to in range(SIZE):
        for at in range(_SCAN_SIZE):
            x = abs((2 * to + 1) - factor * (2 * at + 1))
            if x < unit:
                weights[to, at] = 3 * x**3 - 5 * x**2 * unit + 2 * unit**3
            elif x < 2 * unit:
                weights[to, at] = -(x**3) + 5 * x**2 * unit - 8 * x * unit**2 + 4 * unit**3
    return weights, 2 * unit**3


@cache
def _part_scans() -> dict[str, tuple[NDArray[np.int64], ...]]:
    """The scans of test, validation and pool: one array of scan numbers a digit each."""
    # RandomState and not default_rng: only its numbers are promised never to change.
    random = np.random.RandomState(SEED)
    shuffled = [random.permutation(np.flatnonzero(_digits()[1] == digit)) for digit in range(10)]
    held_out = TEST_SCANS + VALIDATION_SCANS
    return {
        "test": tuple(scans[:TEST_SCANS] for scans in shuffled),
        "validation": tuple(scans[TEST_SCANS:held_out] for scans in shuffled),
        "pool": tuple(scans[held_out:] for scans in shuffled),
    }


def _all_inks(scans: tuple[NDArray[np.int64], ...]) -> _Split:
    """Every scan in every ink; the inks of a scan stand together."""
    numbers = np.sort(np.concatenate(scans)).astype(np.int64)
    inks = np.arange(len(INKS), dtype=np.int64)
    return _Split(np.repeat(numbers, len(INKS)), np.tile(inks, len(numbers)))


def _long_tail(pool: tuple[NDArray[np.int64], ...]) -> _Split:
    """The train split: fewer images from digit to digit, most of them in the digit's own ink."""
    scans: list[NDArray[np.int64]] = []
    inks: list[int] = []
    turn = 0  # goes on from digit to digit, so that no ink is always the first to be given
    for digit, of_digit in enumerate(pool):
        images = int(LARGEST_CLASS * (1 / IMBALANCE_FACTOR) ** (digit / (len(pool) - 1)))
        scans.append(of_digit[:images])
        own = own_ink(digit)
        others = [ink for ink in range(len(INKS)) if ink != own]
        in_own = round(OWN_INK_SHARE * images)
        inks += [own] * in_own
        for _ in range(images - in_own):
            inks.append(others[turn % len(others)])
            turn += 1
    numbers = np.concatenate(scans)
    order = np.random.RandomState(SEED + 1).permutation(len(numbers))
    return _Split(numbers[order].astype(np.int64), np.array(inks, dtype=np.int64)[order])
