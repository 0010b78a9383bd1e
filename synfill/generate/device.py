"""Which device and which number type a model runs with, and how much memory it has there.

torch is imported inside the functions.
"""

from __future__ import annotations

from typing import Final

from synfill.errors import UsageError, suggest

DTYPES: Final = ("float32", "bfloat16", "float16")
"""What --dtype takes beside "auto"."""

_DTYPE_ALIASES: Final = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}

DEVICES: Final = ("auto", "cuda", "mps", "cpu")


class OutOfMemory(Exception):
    """The device has no room for a batch of this size.

    Args:
        batch: How many images were being made.
    """

    def __init__(self, batch: int) -> None:
        super().__init__(f"out of memory at a batch of {batch}")
        self.batch = batch


def find_device(wanted: str | None) -> str:
    """The device to run on: the one asked for, else a CUDA GPU, else Apple's, else the CPU.

    Args:
        wanted: "cuda", "cuda:1", "mps", "cpu"; None or "auto" to choose.

    Raises:
        UsageError: Unknown, or not there.
    """
    if wanted == "cpu":
        return wanted
    import torch

    mps = torch.backends.mps.is_available()
    if wanted is None or wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if mps else "cpu"
    kind, _, number = wanted.partition(":")
    if kind not in DEVICES or (number and not (kind == "cuda" and number.isdigit())):
        raise UsageError(f"There is no device '{wanted}'.", suggest(kind, DEVICES, "devices"))
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        why = f"torch {torch.__version__} sees {count} CUDA GPU{'' if count == 1 else 's'}"
        raise UsageError(
            f"The device '{wanted}' isn't there: {why}.",
            "Check `nvidia-smi` and that torch was installed with CUDA, or leave --device out.",
        )
    if kind == "mps" and not mps:
        raise UsageError(
            "The device 'mps' isn't there: it needs an Apple GPU and macOS 14 or later.",
            "Leave --device out.",
        )
    return wanted


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


def memory_bytes(device: str) -> int | None:
    """All memory of a GPU (not what is free now, which would change from run to run).

    Returns:
        Bytes; None for the CPU.
    """
    import torch

    kind = device.partition(":")[0]
    if kind == "cuda":
        return int(torch.cuda.get_device_properties(torch.device(device)).total_memory)
    return int(torch.mps.recommended_max_memory()) if kind == "mps" else None


def free_caches() -> None:
    """Give memory that nothing uses any more back to the device."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()


_OUT_OF_MEMORY: Final = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on whichever device."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _OUT_OF_MEMORY)


_GIB: Final = 1 << 30

# Weights of all parts in 16 bits, rounded up: with them on the device, the rest is for images.
_WEIGHTS_GIB: Final = {"sd": 4, "sdxl": 8, "sd3": 28, "flux": 36, "pixart": 12, "sana": 9}
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
    room = 0.9 * memory - _WEIGHTS_GIB.get(family, 16) * _GIB
    fits = max(1, int(room // (pixels * _BYTES_A_PIXEL)))
    # Apple's GPUs are kept busy by a few images; more only takes memory from the system.
    largest = 4 if device.startswith("mps") else _LARGEST
    return min(largest, 1 << (fits.bit_length() - 1))
