"""The method synaug-mixup-retrain-real."""

from typing import ClassVar, Literal

from synfill.training.methods.base import Changes, Method


class RetrainReal(Method):
    """Synaug-mixup, then the classifier re-trained on class-balanced real images."""

    name: Literal["synaug-mixup-retrain-real"] = "synaug-mixup-retrain-real"
    first: ClassVar[Changes] = {"data": "real+synthetic", "mix": "mixup"}
    second: ClassVar[Changes | None] = {"data": "real", "sampling": "class-balanced"}
