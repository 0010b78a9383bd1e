"""The method synaug."""

from typing import ClassVar, Literal

from synfill.training.methods.base import Changes, Method


class SynAug(Method):
    """Real and synthetic images."""

    name: Literal["synaug"] = "synaug"
    first: ClassVar[Changes] = {"data": "real+synthetic"}
