"""Images that are too large for memory: their files' bytes lie in one flat file, and worker
processes decode them anew each epoch, ahead of the batch that is wanted.

The flat file is written once a run and used again by a resumed one: source formats such as
Parquet can only be read in order.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from synfill.errors import RunError
from synfill.files import atomic_write
from synfill.training.images.decoding import Decoder
from synfill.training.images.pixels import Chunk, Reading, file_digest, read_images
from synfill.training.images.transfer import send

_FILE, _INDEX, _LOCK = "images.bin", "images.npz", "images.lock"
_AHEAD = 4
"""Batches that each worker prepares ahead."""


@dataclass(frozen=True, eq=False)
class FlatFile(Dataset[torch.Tensor]):
    """The bytes of image files, one after the other. Can be sent to worker processes.

    Attributes:
        path: The file.
        offsets: int64, shape (images + 1,): where each image begins, and the end.
        decoder: Decodes them.
    """

    path: Path
    offsets: NDArray[np.int64]
    decoder: Decoder

    def __getitems__(self, positions: list[int]) -> torch.Tensor:
        """The images at some positions: uint8, shape (batch, 3, side, side)."""
        data = _mapped(self.path)
        return torch.stack(
            [
                self.decoder(data[self.offsets[at] : self.offsets[at + 1]].tobytes())
                for at in positions
            ]
        )


@lru_cache(maxsize=1)
def _mapped(path: Path) -> NDArray[np.uint8]:
    return np.memmap(path, dtype=np.uint8, mode="r")


def write_flat_file(
    folder: Path,
    chunks: Callable[[], Iterable[Chunk]],
    count: int,
    decoder: Decoder,
    counted: int,
    on_progress: Callable[[int], None] = lambda done: None,
) -> tuple[FlatFile, Reading]:
    """Write the flat file and read all its images once; or find that both was done before.

    Processes that are started together do it once: the others wait.

    Args:
        folder: Where to write it.
        chunks: Begins to read the files' bytes, in order.
        count: Images in all.
        decoder: Decodes them.
        counted: How many images, from the first on, are in the sums; see `read_images`.
        on_progress: Called with the number of images done.

    Raises:
        RunError: The disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / _LOCK):
        if (folder / _INDEX).is_file():
            found = _use_again(folder, chunks(), count, decoder, counted)
            if found is not None:
                return found
            (folder / _INDEX).unlink()
        sizes: list[int] = []

        def pass_through() -> Iterator[Chunk]:
            for chunk in chunks():
                for data in chunk:
                    file.write(data or b"")
                    sizes.append(len(data or b""))
                yield chunk

        with atomic_write(folder / _FILE) as file:
            reading = read_images(pass_through(), count, decoder, counted, None, on_progress)
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        # Written last: that it exists says that the file is whole.
        with atomic_write(folder / _INDEX) as index:
            np.savez(
                index,
                offsets=offsets,
                digests=reading.digests,
                bad=np.array(list(reading.bad), dtype=np.int64),
                reasons=np.array(list(reading.bad.values()), dtype=np.str_),
                sums=reading.sums,
                read_as=np.array([decoder.side, counted]),
            )
    return FlatFile(folder / _FILE, offsets, decoder), reading


def _use_again(
    folder: Path, chunks: Iterable[Chunk], count: int, decoder: Decoder, counted: int
) -> tuple[FlatFile, Reading] | None:
    """What was written before, if it is of the same images; None if it isn't."""
    with np.load(folder / _INDEX) as index:
        held = {name: index[name] for name in index.files}
    is_whole = (folder / _FILE).is_file() and (folder / _FILE).stat().st_size == held["offsets"][-1]
    if not is_whole or held["read_as"].tolist() != [decoder.side, counted]:
        return None
    digests = [file_digest(data) for chunk in chunks for data in chunk]
    if len(digests) != count or not np.array_equal(np.stack(digests), held["digests"]):
        return None
    bad = dict(zip(held["bad"].tolist(), held["reasons"].tolist(), strict=True))
    flat = FlatFile(folder / _FILE, held["offsets"], decoder)
    return flat, Reading(held["digests"], bad, held["sums"])


class Workers:
    """Processes that decode batches of a flat file. They start with the first batch and stay.

    Args:
        flat: The images.
        count: How many processes.
        device: Where batches are wanted.
    """

    def __init__(self, flat: FlatFile, count: int, device: str) -> None:
        self._queue = _Queue()
        self._device = torch.device(device)
        # Not forked from this process: its threads' locks would be copied in whatever state.
        method = "forkserver" if sys.platform == "linux" else "spawn"
        if method == "forkserver":
            # Their common parent imports torch and Pillow, so that each of them needn't.
            multiprocessing.set_forkserver_preload([__name__, flat.decoder.careful.__module__])
        self._loader = DataLoader(
            flat,
            batch_sampler=self._queue,
            num_workers=count,
            collate_fn=_as_it_is,
            pin_memory=self._device.type == "cuda",
            multiprocessing_context=method,
            prefetch_factor=_AHEAD,
            persistent_workers=True,
        )

    def batches(self, positions: Iterable[NDArray[np.int64]]) -> Iterator[torch.Tensor]:
        """See `PixelStore`; positions count in the flat file."""
        self._queue.waiting = positions
        try:
            loaded = iter(self._loader)
            while (batch := next(loaded, None)) is not None:
                yield send(batch, self._device)
                if self._queue.waiting is not positions:
                    raise RuntimeError("another iteration was begun before this one had ended")
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise RunError(
                f"A process that decodes images was ended from outside: {error}",
                "Most often memory is short, or /dev/shm (in Docker: --shm-size or --ipc=host). "
                "Set data.workers to a smaller number, or data.storage=memory.",
            ) from error


class _Queue:
    """What the workers are to decode; set anew for each iteration."""

    def __init__(self) -> None:
        self.waiting: Iterable[NDArray[np.int64]] = ()

    def __iter__(self) -> Iterator[list[int]]:
        return (positions.tolist() for positions in self.waiting)


def _as_it_is(batch: Any) -> Any:
    return batch  # `__getitems__` has made a batch of it already


class StreamStore:
    """Some of the images of a flat file.

    Args:
        workers: The processes that decode it, shared by all sets of a run.
        ordinals: Which images of the flat file these are: int64, shape (images,).
    """

    def __init__(self, workers: Workers, ordinals: NDArray[np.int64]) -> None:
        self._workers = workers
        self._ordinals = ordinals

    def __len__(self) -> int:
        return len(self._ordinals)

    def batches(self, positions: Iterable[NDArray[np.int64]]) -> Iterator[torch.Tensor]:
        """See `PixelStore`."""
        return self._workers.batches(self._ordinals[wanted] for wanted in positions)
