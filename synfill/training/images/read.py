"""Every image read once: into memory, or into a file from which it is decoded anew each epoch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import psutil
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from synfill.config.recipes.settings import DataSettings
from synfill.data.source import image_column
from synfill.errors import UsageError
from synfill.files import format_bytes
from synfill.reporter import Reporter
from synfill.training.images.decoding import Decoder
from synfill.training.images.parts import Part, Parts
from synfill.training.images.pixels import Chunk, MemoryStore, PixelStore, Reading, read_images
from synfill.training.images.stream import StreamStore, Workers, write_flat_file

_CHUNK = 32
"""Images a task: fewer, and handing tasks out takes longer than decoding small images."""


def fits_in_memory(data: DataSettings, count: int, side: int) -> bool:
    """Whether images are to be held in memory. What it says changes no result.

    Args:
        data: What the recipe says of it.
        count: How many images there are.
        side: Side in pixels at which they are stored.

    Raises:
        UsageError: They are to be, and don't fit.
    """
    if data.storage == "stream":
        return False
    needed, free = count * 3 * side**2, psutil.virtual_memory().available
    if data.storage == "memory":
        if needed > free:
            raise UsageError(
                f"The {count:,} images take {format_bytes(needed)} in memory, of which "
                f"{format_bytes(free)} are free.",
                "Set data.storage=auto or stream.",
            )
        return True
    return needed <= free / 2 / _processes_here()


def _processes_here() -> int:
    """How many processes of this run share this machine's memory and processors."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def chunks_of(parts: Sequence[Part]) -> Iterator[Chunk]:
    """The files' bytes, in order; no chunk holds images of two parts."""
    for part in parts:
        image = image_column(part.source.columns).name
        for _, batch in part.source.iter_rows(part.table.split, part.table.rows):
            # Not .field(): it shows what lies under a null row.
            files = pc.struct_field(batch.column(image), "bytes")
            for first in range(0, len(files), _CHUNK):
                yield files.slice(first, _CHUNK).to_pylist()


Store = Callable[[NDArray[np.int64]], PixelStore]
"""Gives the images at some positions, counted over all parts."""


def read_all(
    data: DataSettings,
    parts: Parts,
    decoder: Decoder,
    device: str,
    work: Path,
    reporter: Reporter,
) -> tuple[Reading, Store]:
    """Read the images of all parts, one part after the other.

    Args:
        data: Whether they are held in memory, and with how many workers they are decoded if not.
        parts: The parts.
        decoder: What makes pixels of a file's bytes.
        device: Where batches are wanted.
        work: A folder for the file from which they are decoded anew each epoch.
        reporter: Where progress goes.

    Raises:
        UsageError: They are to be held in memory and don't fit.
        RunError: The disk is full.
    """
    count = sum(len(part.table) for part in parts.all)
    # Mean and deviation are those of the real training images, which come first.
    counted = len(parts.real.table)

    def on_progress(done: int) -> None:
        reporter.progress("reading images", done, count)

    if not fits_in_memory(data, count, decoder.side):
        flat, reading = write_flat_file(
            work, lambda: chunks_of(parts.all), count, decoder, counted, on_progress
        )
        processors = max(1, (os.cpu_count() or 1) // _processes_here())
        pool = Workers(flat, data.workers or processors, device)
        return reading, lambda positions: StreamStore(pool, positions)
    held = torch.empty((count, 3, decoder.side, decoder.side), dtype=torch.uint8)
    reading = read_images(chunks_of(parts.all), count, decoder, counted, held, on_progress)

    def store(positions: NDArray[np.int64]) -> PixelStore:
        first, end = int(positions[0]), int(positions[-1]) + 1
        is_whole = end - first == len(positions)
        chosen = held[first:end] if is_whole else held[torch.from_numpy(positions)]
        return MemoryStore(chosen, device)

    return reading, store
