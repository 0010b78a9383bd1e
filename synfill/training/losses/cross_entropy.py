"""Softmax cross-entropy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from synfill.config.recipes.stages import Smoothing
from synfill.training.losses.base import Facts, Loss, Targets

if TYPE_CHECKING:
    from torch import Tensor

    from synfill.training.losses.module import LossModule


class CrossEntropy(Loss):
    """Softmax cross-entropy."""

    name: Literal["cross-entropy"] = "cross-entropy"
    label_smoothing: Smoothing | None = Field(
        None,
        description="Share of each target that is spread evenly over all classes (Szegedy et al. "
        "2016); null for the stage's label_smoothing.",
    )

    def build(self, facts: Facts) -> LossModule:
        """See `Loss`."""
        from torch.nn.functional import cross_entropy

        from synfill.training.losses.module import PerImage

        smoothing = self.label_smoothing or 0.0

        def values(logits: Tensor, targets: Targets) -> Tensor:
            return cross_entropy(
                logits, targets.labels, reduction="none", label_smoothing=smoothing
            )

        return PerImage(values)
