"""Image files' bytes: decoding them, how they are made, and finding the bad ones."""

from __future__ import annotations

import io
import os
import struct
import threading
import warnings
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image, ImageFile, JpegImagePlugin, UnidentifiedImageError
from PIL.Image import Transpose

from synfill.data.pixels import flatten
from synfill.data.source import Source, image_column
from synfill.records import ImageProfile

# Named one by one: EPS and its like would run Ghostscript on a stranger's program.
# fmt: off
_FORMATS = (
    "JPEG", "PNG", "WEBP", "BMP", "GIF", "PPM", "TIFF", "AVIF", "JPEG2000", "DIB", "ICO",
    "ICNS", "DDS", "PCX", "SGI", "QOI", "TGA",
)
# fmt: on
# What Pillow's plugins are seen to raise on damaged files; it documents none of it.
_DECODER_ERRORS = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    TypeError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    struct.error,
    zlib.error,
)
_CHUNK = 32
"""Images a task: fewer, and handing tasks out takes longer than decoding small images."""

_ORIENTATION_TAG = 0x0112
_TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
_SIDEWAYS = frozenset({5, 6, 7, 8})
_TRUNCATED_WORDS = ("truncated", "unexpected end", "not enough image data", "premature end")


class BadImage(ValueError):
    """An image that can't be used; the message is the reason, in a few words."""


@dataclass(frozen=True)
class BadRow:
    """An image that can't be used.

    Attributes:
        row: Its row in the split.
        where: Where it is, for a message.
        reason: What is wrong with it, in a few words.
    """

    row: int
    where: str
    reason: str


@dataclass(frozen=True, eq=False)
class Inspection:
    """What was found in a split's images.

    Attributes:
        profiles: The ways in which the images are made, in the order they occur.
        codes: int32, shape (rows looked at,): each image's profile; -1 for a bad one.
        bad: The bad ones.
        digest: Hexadecimal; the same exactly if the rows' bytes and their order are.
        bytes: Bytes of all image files together.
    """

    profiles: tuple[ImageProfile, ...]
    codes: NDArray[np.int32]
    bad: tuple[BadRow, ...]
    digest: str
    bytes: int


@dataclass(frozen=True)
class _Finding:
    profile: ImageProfile | None
    reason: str
    digest: bytes
    size: int


def decode(data: bytes) -> Image.Image:
    """An image as a classifier is to see it.

    The first frame of an animation; turned as its EXIF orientation says; grey (also 1-bit and
    16-bit, which is scaled) as mode "L", all else as "RGB"; transparency over white.

    Args:
        data: The bytes of an image file.

    Raises:
        BadImage: The bytes are no image, or a damaged or huge one.
    """
    with _quiet(), _reading(), _open(data) as image:
        image.load()
        plain = flatten(image)
        turn = _TURNS.get(_orientation(image))
        return plain.transpose(turn) if turn is not None else plain


def inspect(data: bytes | None) -> ImageProfile:
    """How an image file is made, after reading all of it: a damaged one is found.

    Args:
        data: The bytes of an image file; None for one that couldn't be read.

    Raises:
        BadImage: The bytes are missing, no image, or a damaged or huge one.
    """
    if data is None:
        raise BadImage("cannot be read")
    with _quiet(), _reading(), _open(data) as image:
        mode, (width, height) = image.mode, image.size
        tables, subsampling, progressive = None, -1, False
        if isinstance(image, JpegImagePlugin.JpegImageFile):
            tables = tuple(tuple(table) for _, table in sorted(image.quantization.items()))
            subsampling = JpegImagePlugin.get_sampling(image)
            progressive = bool(image.info.get("progressive"))
            # All the file is read and checked all the same, but most of the arithmetic saved.
            image.draft(None, (1, 1))
        # Before the EXIF data, for which Pillow loads a PNG too: it finds its faults only once.
        image.load()
        if _orientation(image) in _SIDEWAYS:
            width, height = height, width
        if mode not in ("L", "RGB") or image.has_transparency_data:
            # All that `decode` does: some pixels can be read, but not be shown in grey or RGB.
            flatten(image)
        lossless = image.format == "WEBP" and _is_lossless(data)
        format = image.format or ""
    return ImageProfile(format, mode, (width, height), tables, subsampling, lossless, progressive)


def format_of(data: bytes) -> str:
    """Pillow's name of an image file's format; its pixels aren't read.

    Raises:
        BadImage: The bytes are no image.
    """
    with _quiet(), _reading(), _open(data) as image:
        return image.format or ""


def inspect_split(
    source: Source,
    split: str,
    rows: NDArray[np.int64] | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Inspection:
    """Read and decode the images of a split, on all processors.

    Args:
        source: The dataset.
        split: The split.
        rows: Row numbers, ascending; None for all.
        on_progress: Called with the number of images done so far.
    """
    codes = np.full(source.count(split) if rows is None else len(rows), -1, dtype=np.int32)
    profiles: dict[ImageProfile, int] = {}
    bad: list[BadRow] = []
    whole = blake2b(digest_size=16)
    size = 0
    with _quiet():
        for done, (row, finding) in enumerate(_findings(source, split, rows), start=1):
            whole.update(finding.digest)
            size += finding.size
            if finding.profile is not None:
                codes[done - 1] = profiles.setdefault(finding.profile, len(profiles))
            else:
                bad.append(BadRow(row, source.describe_row(split, row), finding.reason))
            if on_progress is not None and (done % _CHUNK == 0 or done == len(codes)):
                on_progress(done)
    return Inspection(tuple(profiles), codes, tuple(bad), whole.hexdigest(), size)


@cache
def _formats() -> tuple[str, ...]:
    """The formats that this Pillow reads: asked for any other, it fails on every image."""
    Image.init()
    return tuple(format for format in _FORMATS if format in Image.OPEN)


def _open(data: bytes) -> ImageFile.ImageFile:
    if not data:
        raise BadImage("empty file")
    image = Image.open(io.BytesIO(data), formats=_formats())
    if not all(image.size):
        raise BadImage("cannot be read: it has no pixels")
    return image


@contextmanager
def _reading() -> Iterator[None]:
    """Turns whatever a decoder raises into a BadImage."""
    try:
        yield
    except BadImage:
        raise
    except UnidentifiedImageError as error:
        raise BadImage("not an image") from error
    except Image.DecompressionBombError as error:
        pixels = "".join(filter(str.isdigit, str(error).partition("pixels")[0]))
        raise BadImage(f"decompression bomb: {pixels} pixels") from error
    except _DECODER_ERRORS as error:
        message = str(error).lower()
        truncated = isinstance(error, EOFError) or any(w in message for w in _TRUNCATED_WORDS)
        raise BadImage("truncated" if truncated else "cannot be read") from error


class _Quiet:
    """Silences Pillow's warnings while any thread is inside; Python's filters are shared by all
    threads, so only the first to enter sets them and only the last to leave restores them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._caught = warnings.catch_warnings()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if self._inside == 0:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL(\.|$)")
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    self._caught.__exit__(None, None, None)


_quiet = _Quiet()


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except _DECODER_ERRORS:
        # Damaged EXIF does no harm to the picture: it is taken as it stands.
        return 1


def _is_lossless(data: bytes) -> bool:
    """Whether a WebP's picture (the first frame's, in an animation) is coded without loss."""
    position = 12
    while position + 8 <= len(data):
        kind, size = (
            data[position : position + 4],
            int.from_bytes(data[position + 4 : position + 8], "little"),
        )
        if kind in (b"VP8 ", b"VP8L"):
            return bool(kind == b"VP8L")
        # A frame of an animation holds its picture's chunks after 16 bytes of its own.
        position += 24 if kind == b"ANMF" else 8 + size + size % 2
    return False


def _findings(
    source: Source, split: str, rows: NDArray[np.int64] | None
) -> Iterator[tuple[int, _Finding]]:
    """Each row's finding, in order; only a few chunks of images are held at a time."""
    image = image_column(source.columns).name
    threads = os.cpu_count() or 1
    waiting: deque[tuple[NDArray[np.int64], Future[list[_Finding]]]] = deque()

    def take(most: int) -> Iterator[tuple[int, _Finding]]:
        while len(waiting) > most:
            numbers, task = waiting.popleft()
            yield from zip(numbers.tolist(), task.result(), strict=True)

    with ThreadPoolExecutor(threads) as pool:
        for numbers, batch in source.iter_rows(split, rows):
            # Not .field(): it shows what lies under a null row.
            data = pc.struct_field(batch.column(image), "bytes")
            for first in range(0, len(data), _CHUNK):
                task = pool.submit(_look, data.slice(first, _CHUNK))
                waiting.append((numbers[first : first + _CHUNK], task))
                yield from take(2 * threads)
        yield from take(0)


def _look(images: pa.Array) -> list[_Finding]:
    return [_look_at(data) for data in images.to_pylist()]


def _look_at(data: bytes | None) -> _Finding:
    digest = blake2b(data, digest_size=16).digest() if data is not None else bytes(16)
    size = len(data or b"")
    try:
        return _Finding(inspect(data), "", digest, size)
    except BadImage as error:
        return _Finding(None, str(error), digest, size)
