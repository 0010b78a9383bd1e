"""The method synaug-mixup."""

from typing import ClassVar, Literal

from synfill.training.methods.base import Changes, Method


class SynAugMixup(Method):
    """Real and synthetic images, with Mixup."""

    name: Literal["synaug-mixup"] = "synaug-mixup"
    first: ClassVar[Changes] = {"data": "real+synthetic", "mix": "mixup"}
