"""Accelerate's state of this process: device, number type, how many processes there are.

`accelerate launch` starts several of them; without it there is one.
"""

from __future__ import annotations

import datetime
import os
from typing import TYPE_CHECKING

from synfill.config.recipes.settings import Precision
from synfill.devices import has_bfloat16

if TYPE_CHECKING:
    from accelerate import Accelerator


def is_main_process() -> bool:
    """Whether this process is the one that writes and speaks. Known before torch is imported."""
    return int(os.environ.get("RANK", "0")) == 0


def start_accelerator(device: str, precision: Precision, is_compiled: bool) -> Accelerator:
    """Set Accelerate up, anew where this process has used it before.

    Args:
        device: What `find_device` gave.
        precision: The recipe's; "auto" is bfloat16 on a GPU that has it.
        is_compiled: Whether networks are compiled.
    """
    import torch
    from accelerate import Accelerator, InitProcessGroupKwargs
    from accelerate.state import AcceleratorState

    if "RANK" not in os.environ:
        AcceleratorState._reset_state(reset_partial_state=True)
    kind, _, number = device.partition(":")
    if precision == "auto":
        precision = "bfloat16" if kind == "cuda" and has_bfloat16(device) else "float32"
    if number:
        os.environ["ACCELERATE_TORCH_DEVICE"] = device
    try:
        accelerator = Accelerator(
            cpu=kind == "cpu",
            mixed_precision="bf16" if precision == "bfloat16" else "no",
            dynamo_backend="inductor" if is_compiled else None,
            # The others wait while the first makes the balanced dataset, which may take days.
            kwargs_handlers=[InitProcessGroupKwargs(timeout=datetime.timedelta(days=30))],
        )
    finally:
        if number:
            del os.environ["ACCELERATE_TORCH_DEVICE"]
    # The same settings give the same weights, on the same kind of device.
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    return accelerator
