"""Images on their way from the device to main memory. Imports torch only inside the functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from synfill.records import Sample


class OutOfMemory(Exception):
    """The device has no room for a batch of this size.

    Args:
        batch: How many images were being made.
    """

    def __init__(self, batch: int) -> None:
        super().__init__(f"out of memory at a batch of {batch}")
        self.batch = batch


Pending = Callable[[], list[Sample]]
"""Images that are begun: waits until they are there. Any thread may wait, and more than once, so
that whoever launched the call can launch the next meanwhile."""


def hand_over(images: Any, flags: Sequence[bool]) -> Pending:
    """Make images uint8 on their device and begin to copy them to main memory.

    From a CUDA GPU they are copied beside the computation, into pinned memory; from anywhere else
    at once.

    Args:
        images: Tensor of shape (images, 3, height, width), 0 to 1.
        flags: As many, from the safety checker.
    """
    import torch

    images = images.float()
    finite = images.isfinite().flatten(1).all(dim=1)
    scaled = (images.nan_to_num(0.0).clamp(0, 1) * 255).round().to(torch.uint8)
    scaled = scaled.permute(0, 2, 3, 1).contiguous()
    copies, arrive = [], None
    if scaled.device.type != "cuda":
        copies = [scaled.cpu(), finite.cpu()]
    else:
        copying = torch.cuda.Stream(scaled.device)
        copying.wait_stream(torch.cuda.current_stream(scaled.device))
        with torch.cuda.stream(copying):
            for tensor in (scaled, finite):
                copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
                copy.copy_(tensor, non_blocking=True)
                tensor.record_stream(copying)  # or the next call would get its memory too soon
                copies.append(copy)
            # The threads that wait for it sleep: awake they would take the processor from the one
            # that launches the next batch.
            arrive = torch.cuda.Event(blocking=True)
            arrive.record(copying)

    def wait() -> list[Sample]:
        if arrive is not None:
            arrive.synchronize()
        return [
            Sample(pixels.numpy(), bool(is_finite), bool(flag))
            for pixels, is_finite, flag in zip(*copies, flags, strict=True)
        ]

    return wait
