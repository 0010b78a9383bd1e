"""What an augmentation is: its options, and images in, images out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from synfill.config.registry import Component

if TYPE_CHECKING:
    from torch import Generator, Tensor

Augment = Callable[["Tensor", int, "Generator"], "Tensor"]
"""Images (uint8, shape (b, 3, side, side), on any device), the size that the network sees, and a
generator of the CPU, from which everything is drawn -> uint8, or float32 in 0..255, shape
(b, 3, size, size), on the images' device. Every image is augmented on its own.
"""


class Augmentation(Component):
    """An augmentation, with its options; a subclass has a `name` and a `build`."""

    def build(self) -> Augment:
        """What is done to a batch."""
        raise NotImplementedError
