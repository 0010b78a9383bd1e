"""The method synaug-mixup-retrain."""

from typing import ClassVar, Literal

from synfill.training.methods.base import Changes, Method


class Retrain(Method):
    """Synaug-mixup, then the classifier re-trained on real and synthetic images."""

    name: Literal["synaug-mixup-retrain"] = "synaug-mixup-retrain"
    first: ClassVar[Changes] = {"data": "real+synthetic", "mix": "mixup"}
    second: ClassVar[Changes | None] = {"data": "real+synthetic", "sampling": "as-is"}
