"""Images on their way from the device to main memory. Imports torch only inside the functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

from synfill.records import Sample


class OutOfMemory(Exception):
    """The device has no room for a batch of this size.

    Args:
        batch: How many images were being made.
    """

    def __init__(self, batch: int) -> None:
        super().__init__(f"out of memory at a batch of {batch}")
        self.batch = batch


class Batch(Sequence[Sample]):
    """The images of one call. Taking one waits until the device has handed them over.

    Any thread may take from it, so that whoever launched the call can launch the next meanwhile.

    Args:
        pixels: uint8 tensor in main memory, shape (images, height, width, 3).
        finite: bool tensor in main memory, shape (images,).
        flags: As many, from the safety checker.
        done: The CUDA event after which both tensors are filled; None if they are.
    """

    def __init__(self, pixels: Any, finite: Any, flags: Sequence[bool], done: Any = None) -> None:
        self._pixels = pixels
        self._finite = finite
        self._flags = flags
        self._done = done

    def __len__(self) -> int:
        return len(self._flags)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if self._done is not None:
            self._done.synchronize()
        return Sample(
            self._pixels[index].numpy(), bool(self._finite[index]), bool(self._flags[index])
        )


def hand_over(images: Any, flags: Sequence[bool]) -> Batch:
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
    if scaled.device.type != "cuda":
        return Batch(scaled.cpu(), finite.cpu(), flags)
    computing = torch.cuda.current_stream(scaled.device)
    copying = torch.cuda.Stream(scaled.device)
    copying.wait_stream(computing)
    with torch.cuda.stream(copying):
        copies = []
        for tensor in (scaled, finite):
            copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
            copy.copy_(tensor, non_blocking=True)
            tensor.record_stream(copying)  # or the next call would be given its memory too soon
            copies.append(copy)
        # The threads that wait for it sleep: awake they would take the processor from the one that
        # launches the next batch.
        done = torch.cuda.Event(blocking=True)
        done.record(copying)
    return Batch(copies[0], copies[1], flags, done)
