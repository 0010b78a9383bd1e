"""Which number type a model runs with. Without torch."""

from __future__ import annotations

from typing import Final

from synfill.errors import UsageError, suggest

DTYPES: Final = ("float32", "bfloat16", "float16")
"""What --dtype takes beside "auto"."""

_DTYPE_ALIASES: Final = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


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
