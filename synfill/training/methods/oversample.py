"""The method oversample."""

from typing import ClassVar, Literal

from synfill.training.methods.base import Changes, Method


class Oversample(Method):
    """The real images, every class drawn equally often."""

    name: Literal["oversample"] = "oversample"
    first: ClassVar[Changes] = {"data": "real", "sampling": "class-balanced"}
