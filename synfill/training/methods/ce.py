"""The method ce."""

from typing import ClassVar, Literal

from synfill.training.methods.base import Changes, Method


class CrossEntropyOnly(Method):
    """Cross-entropy on the real images."""

    name: Literal["ce"] = "ce"
    first: ClassVar[Changes] = {"data": "real"}
