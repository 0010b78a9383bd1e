"""Which number type a model runs with, and how many images it makes at a time. Without torch."""

from __future__ import annotations

from typing import Final

from synfill.errors import UsageError, suggest
from synfill.generation.models.families.family import find_family

DTYPES: Final = ("float32", "bfloat16", "float16")
"""What --dtype takes beside "auto"."""

_DTYPE_ALIASES: Final = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


class OutOfMemory(Exception):
    """The device has no room for a batch of this size.

    Args:
        batch: How many images were being made.
    """

    def __init__(self, batch: int) -> None:
        super().__init__(f"out of memory at a batch of {batch}")
        self.batch = batch


def find_dtype(wanted: str | None, device: str, half: str) -> str:
    """The number type of the denoiser: the one asked for, else what suits the device.

    Args:
        wanted: A name of DTYPES or its short form (fp32, bf16, fp16); None or "auto" to choose.
        device: What `find_device` gave.
        half: The 16-bit type that the model wants on a GPU.

    Raises:
        UsageError: Unknown type.
    """
    if wanted is None or wanted == "auto":
        kind = device.partition(":")[0]
        # bfloat16 on Apple's GPUs came late and is no faster there than float16.
        return {"cuda": half, "mps": "float16"}.get(kind, "float32")
    name = _DTYPE_ALIASES.get(wanted, wanted)
    if name not in DTYPES:
        raise UsageError(f"There is no number type '{wanted}'.", suggest(name, DTYPES, "types"))
    return name


_GIB: Final = 1 << 30

# The VAE's last layers are what needs most: 128 to 512 channels at full size, several at a time.
_BYTES_A_PIXEL: Final = 3 * 1024
_LARGEST: Final = 32


def auto_batch_size(
    device: str, size: tuple[int, int], family: str, memory: int | None = None
) -> int:
    """How many images to make at a time: from tables, not from timing, so always the same.

    Args:
        device: "cuda", "mps" or "cpu".
        size: (width, height) in pixels.
        family: The pipeline's family.
        memory: Bytes of the device, as `memory_bytes` gives; None for the CPU.

    Returns:
        A power of two, 1 to 32. If it doesn't fit after all, the engine halves it.
    """
    pixels = size[0] * size[1]
    if memory is None:
        return 32 if pixels <= 64 * 64 else 4 if pixels <= 256 * 256 else 1
    # With the weights on the device, the rest is for images.
    room = 0.9 * memory - find_family(family).weights_gib * _GIB
    fits = max(1, int(room // (pixels * _BYTES_A_PIXEL)))
    # Apple's GPUs are kept busy by a few images; more only takes memory from the system.
    largest = 4 if device.startswith("mps") else _LARGEST
    return min(largest, 1 << (fits.bit_length() - 1))
