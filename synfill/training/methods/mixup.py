"""The method mixup."""

from typing import ClassVar, Literal

from synfill.training.methods.base import Changes, Method


class MixupOnly(Method):
    """The real images, with Mixup."""

    name: Literal["mixup"] = "mixup"
    first: ClassVar[Changes] = {"data": "real", "mix": "mixup"}
