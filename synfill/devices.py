"""Which device to compute on, and its memory. Imports torch only inside the functions."""

from __future__ import annotations

import re
from typing import Final

from synfill.errors import UsageError, suggest

DEVICES: Final = ("auto", "cuda", "mps", "cpu")
_NUMBER: Final = re.compile(r"[0-9]{1,4}")


def check_device_name(wanted: str) -> None:
    """Refuse what can be no device anywhere; which ones are there isn't looked at.

    Raises:
        UsageError: It is none of "auto", "cuda", "cuda:1", "mps", "cpu".
    """
    kind, colon, number = wanted.partition(":")
    if kind not in DEVICES or (colon and not (kind == "cuda" and _NUMBER.fullmatch(number))):
        raise UsageError(f"There is no device '{wanted}'.", suggest(kind, DEVICES, "devices"))


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
    check_device_name(wanted)
    kind, _, number = wanted.partition(":")
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


def device_name(device: str) -> str:
    """The name that a GPU's maker gave it ("NVIDIA A100-SXM4-80GB"); "cpu" or "mps" as they are."""
    import torch

    if device.startswith("cuda"):
        return str(torch.cuda.get_device_name(torch.device(device)))
    return device


def has_bfloat16(device: str) -> bool:
    """Whether a CUDA GPU computes in bfloat16 itself (from Ampere on), not only by emulation."""
    import torch

    with torch.cuda.device(device):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))


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
    "CUDNN_STATUS_ALLOC_FAILED",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on whichever device."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _OUT_OF_MEMORY)
