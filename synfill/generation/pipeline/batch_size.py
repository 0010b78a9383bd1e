"""The batch size that pays on a GPU: timed once for a device and model, then remembered.

The times decide only how many images are made at a time, so an image changes by a rounding at
most. Knows torch only through the generator that it times.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from synfill.devices import device_name, memory_bytes
from synfill.errors import RunError
from synfill.files import atomic_write, user_cache
from synfill.generation.models.families.family import find_family
from synfill.generation.models.resolve import ResolvedModel
from synfill.generation.pipeline.rates import measure_rate
from synfill.generation.pipeline.samples import OutOfMemory
from synfill.records import Request

if TYPE_CHECKING:
    from synfill.generation.pipeline.generator import Generator

LARGEST: Final = 64
WORTH: Final = 0.03
"""A batch twice as large is taken if it makes at least this share more images a second."""

WORTH_TIMING: Final = 16
"""A run of fewer batches than this, of the size in the table, isn't worth the timing."""

_GIB: Final = 1 << 30

# The VAE's last layers are what needs most: 128 to 512 channels at full size, several at a time.
_BYTES_A_PIXEL: Final = 3 * 1024
_LARGEST_OF_TABLE: Final = 32

Timer = Callable[["Generator", Request, int], float]
"""(generator, request, batch size) -> seconds an image; raises OutOfMemory."""


class BatchSizeMemory:
    """The batch sizes that were found on this machine, in a JSON file.

    A file that can't be read counts as empty, one that can't be written is left alone: it only
    saves time.

    Args:
        file: Where it is; in the user's cache folder by default. A user without a home (in a
            container) has none, and nothing is remembered.
    """

    def __init__(self, file: Path | None = None) -> None:
        cache = user_cache()
        self._file = file or (cache / "batch-sizes.json" if cache is not None else None)

    def recall(self, model: ResolvedModel) -> int | None:
        """The batch size that was found for this model on this device; None if none was."""
        found = self._read().get(_key(model))
        return found if type(found) is int and 1 <= found <= LARGEST else None

    def keep(self, model: ResolvedModel, batch_size: int) -> None:
        """Remember a batch size."""
        if self._file is None:
            return
        content = json.dumps(self._read() | {_key(model): batch_size}, indent=1, sort_keys=True)
        with contextlib.suppress(OSError, RunError), atomic_write(self._file) as file:
            file.write(content.encode())

    def _read(self) -> dict[str, Any]:
        if self._file is None:
            return {}
        try:
            content = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return content if isinstance(content, dict) else {}


def auto_batch_size(model: ResolvedModel) -> int:
    """How many images to make at a time: from tables, not from timing, so always the same.

    Returns:
        A power of two, 1 to 32. If it doesn't fit after all, the engine halves it.
    """
    pixels, memory = model.size[0] * model.size[1], memory_bytes(model.device)
    if memory is None:
        return 32 if pixels <= 64 * 64 else 4 if pixels <= 256 * 256 else 1
    # With the weights on the device, the rest is for images.
    room = 0.9 * memory - find_family(model.family).weights_gib * _GIB
    fits = max(1, int(room // (pixels * _BYTES_A_PIXEL)))
    # Apple's GPUs are kept busy by a few images; more only takes memory from the system.
    largest = 4 if model.device.startswith("mps") else _LARGEST_OF_TABLE
    return min(largest, 1 << (fits.bit_length() - 1))


def expected_batch_size(model: ResolvedModel, memory: BatchSizeMemory | None = None) -> int:
    """How many images are made at a time as far as is known without timing.

    Args:
        model: The generator.
        memory: What was found before; the user's own by default.

    Returns:
        On a CUDA GPU what was found there before, if anything; else what the table says.
    """
    is_known = model.device.startswith("cuda")
    found = (memory or BatchSizeMemory()).recall(model) if is_known else None
    return found or auto_batch_size(model)


def find_batch_size(
    generator: Generator,
    request: Request,
    images: int,
    memory: BatchSizeMemory,
    on_note: Callable[[str], None],
    timer: Timer = measure_rate,
) -> int:
    """The largest batch size that still pays, timed unless it is known.

    Args:
        generator: A loaded model.
        request: Any request of the run: with a negative prompt some models compute twice as much.
        images: How many are to be made: few aren't worth timing.
        memory: What was found before; what is found now is kept there.
        on_note: Told what was found.
        timer: Times one batch size.

    Returns:
        A power of two up to LARGEST; the table's where it isn't worth timing.
    """
    import torch

    model = generator.model
    found = memory.recall(model)
    if found is not None:
        return found
    usual = auto_batch_size(model)
    if images < WORTH_TIMING * usual:
        return usual
    # A compiled network would be compiled anew for every size; what pays there pays here.
    try:
        with torch.compiler.set_stance("force_eager" if model.compile else "default"):
            found, rate = largest_that_pays(lambda size: timer(generator, request, size))
    except OutOfMemory:
        return 1  # the engine will say what can be done
    memory.keep(model, found)
    on_note(f"Batch size {found}: the largest that pays here, about {rate:.3g} images a second.")
    return found


def largest_that_pays(seconds_an_image: Callable[[int], float]) -> tuple[int, float]:
    """Double the batch size for as long as that makes WORTH more images a second.

    Args:
        seconds_an_image: Times one batch size; raises OutOfMemory where it doesn't fit.

    Returns:
        The batch size, and its images a second.

    Raises:
        OutOfMemory: Not even a single image fits.
    """
    size, rate = 1, 1 / seconds_an_image(1)
    while 2 * size <= LARGEST:
        try:
            next_rate = 1 / seconds_an_image(2 * size)
        except OutOfMemory:
            break
        if next_rate < rate * (1 + WORTH):
            break
        size, rate = 2 * size, next_rate
    return size, rate


def _key(model: ResolvedModel) -> str:
    """All that a batch size depends on: the device, the versions, the model, the image size."""
    import diffusers
    import torch

    parts = [
        device_name(model.device),
        f"torch {torch.__version__}",
        f"diffusers {diffusers.__version__}",
        f"{model.id}@{model.revision}",
        model.lora,
        "x".join(map(str, model.size)),
        model.dtype,
        "guided" if model.guidance_scale > 1 else "unguided",
        "compiled" if model.compile else "",
        "offloaded" if model.offload else "",
    ]
    return ", ".join(part for part in parts if part)
