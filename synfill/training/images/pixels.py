"""The pixels of a set of images: read once into memory, or decoded anew each epoch (`stream`).

Knows neither classes nor where the images are from: it takes file bytes in order, and hands out
batches by position.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from synfill.training.images.decoding import Decoder, pixel_sums
from synfill.training.images.known import ImageLabels
from synfill.training.images.transfer import send

Chunk = Sequence[bytes | None]
"""The bytes of some image files; None for those that can't be read."""

DIGEST_BYTES = 16
_AT_ONCE_BYTES = 16 << 20
"""Decoded pixels that each thread holds at a time, where it is more than one image."""


class PixelStore(Protocol):
    """The stored pixels of a set of images."""

    def __len__(self) -> int:
        """How many images there are."""

    def batches(self, positions: Iterable[NDArray[np.int64]]) -> Iterator[torch.Tensor]:
        """The images at some positions: one batch for each array of them, in that order.

        Where several sets stream their images, only one of them is iterated at a time.

        Args:
            positions: int64, shape (batch,) each.

        Yields:
            uint8, shape (batch, 3, side, side), on the run's device.
        """
        ...


@dataclass(frozen=True, eq=False)
class ImageSet(ImageLabels):
    """Images that were read, with what is known of them.

    Attributes:
        pixels: Their pixels.
    """

    pixels: PixelStore


@dataclass(frozen=True, eq=False)
class Reading:
    """What reading images has found.

    Attributes:
        digests: uint8, shape (images, DIGEST_BYTES): of each file's bytes.
        bad: Why an image can't be used, by position.
        sums: int64, shape (2, 3): sums of levels and of squared levels of each channel, over the
            images that were to be counted.
    """

    digests: NDArray[np.uint8]
    bad: dict[int, str]
    sums: NDArray[np.int64]


class MemoryStore:
    """All pixels in memory, on the GPU if there is one and it has room.

    Args:
        images: uint8, shape (images, 3, side, side).
        device: Where batches are wanted.
    """

    def __init__(self, images: torch.Tensor, device: str) -> None:
        has_room = images.nbytes <= _room_on(device) // 2
        self._images = images.to(device) if has_room else images
        self._device = torch.device(device)

    def __len__(self) -> int:
        return len(self._images)

    def batches(self, positions: Iterable[NDArray[np.int64]]) -> Iterator[torch.Tensor]:
        """See `PixelStore`."""
        held_on = self._images.device
        for wanted in positions:
            index = send(torch.from_numpy(wanted), held_on)
            if held_on.type == self._device.type or self._device.type != "cuda":
                yield self._images.index_select(0, index).to(self._device)
            else:
                # From pinned memory a copy to the GPU doesn't wait.
                shape = (len(index), *self._images.shape[1:])
                pinned = torch.empty(shape, dtype=torch.uint8, pin_memory=True)
                torch.index_select(self._images, 0, index, out=pinned)
                yield send(pinned, self._device)


def _room_on(device: str) -> int:
    """Free bytes of a GPU; 0 for the CPU, where images are already."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(torch.device(device))[0])
    if device == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory())
    return 0


def read_images(
    chunks: Iterable[Chunk],
    count: int,
    decoder: Decoder,
    counted: int,
    out: torch.Tensor | None = None,
    on_progress: Callable[[int], None] = lambda done: None,
) -> Reading:
    """Decode all images once, on all processors: finds the bad ones, and fills the memory.

    Args:
        chunks: The files' bytes, in order; no chunk holds both images that are counted and others.
        count: Images in all.
        decoder: Decodes them.
        counted: How many images, from the first on, are in the sums.
        out: uint8, shape (count, 3, side, side), to be filled; None to forget the pixels.
        on_progress: Called with the number of images done.
    """
    digests = np.zeros((count, DIGEST_BYTES), dtype=np.uint8)
    at_once = max(1, _AT_ONCE_BYTES // (3 * decoder.side**2))
    held = None if out is None else out.numpy()
    sums = np.zeros((2, 3), dtype=np.int64)
    bad: dict[int, str] = {}

    def look(first: int, chunk: Chunk) -> NDArray[np.int64]:
        """Decode some images; their sums, and what else there is to them where it belongs."""
        added = np.zeros((2, 3), dtype=np.int64)
        for start in range(first, first + len(chunk), at_once):
            some = chunk[start - first : start - first + at_once]
            pixels = np.zeros((len(some), 3, decoder.side, decoder.side), dtype=np.uint8)
            for position, data in enumerate(some):
                digests[start + position] = file_digest(data)
                try:
                    pixels[position] = decoder(data).numpy()
                except ValueError as error:
                    bad[start + position] = str(error)  # its pixels stay 0, adding nothing
            if held is not None:
                held[start : start + len(some)] = pixels
            if first < counted:
                added += pixel_sums(pixels)
        return added

    first = 0
    waiting: deque[Future[NDArray[np.int64]]] = deque()
    workers = os.cpu_count() or 1
    threads = torch.get_num_threads()
    # One thread of torch's in each of these: otherwise there are workers * threads of them.
    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            for chunk in chunks:
                waiting.append(pool.submit(look, first, chunk))
                first += len(chunk)
                if len(waiting) > 2 * workers:
                    sums += waiting.popleft().result()
                    on_progress(first)
            while waiting:
                sums += waiting.popleft().result()
            on_progress(first)
        finally:
            for task in waiting:
                task.cancel()
            torch.set_num_threads(threads)
    return Reading(digests, bad, sums)


def file_digest(data: bytes | None) -> NDArray[np.uint8]:
    """uint8, shape (DIGEST_BYTES,); zeros for a file that can't be read."""
    if data is None:
        return np.zeros(DIGEST_BYTES, dtype=np.uint8)
    return np.frombuffer(blake2b(data, digest_size=DIGEST_BYTES).digest(), dtype=np.uint8)
