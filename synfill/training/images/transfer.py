"""Small tensors on their way to a device."""

from __future__ import annotations

import torch


def send(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The tensor on a device. To a CUDA GPU without waiting for the work that it has queued.

    The driver has copied ordinary memory away before this returns, so the tensor may be changed
    or freed at once. Pinned memory is read later: don't change that of a tensor which was sent.
    """
    return tensor.to(device, non_blocking=device.type == "cuda")
