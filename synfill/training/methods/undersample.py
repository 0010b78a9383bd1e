"""The method undersample."""

from typing import ClassVar, Literal

from synfill.training.methods.base import Changes, Method


class Undersample(Method):
    """As many real images of each class as the smallest has."""

    name: Literal["undersample"] = "undersample"
    first: ClassVar[Changes] = {"data": "real", "sampling": "undersample"}
