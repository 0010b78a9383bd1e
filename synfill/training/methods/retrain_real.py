"""The method synaug-mixup-retrain-real."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from synfill.config.training import StageSettings
from synfill.training.methods.base import Method, classifier_alone, whole_network


class RetrainReal(Method):
    """Synaug-mixup, then the classifier re-trained on class-balanced real images."""

    name: Literal["synaug-mixup-retrain-real"] = "synaug-mixup-retrain-real"
    needs_synthetic: ClassVar[bool] = True

    def make(self, stages: Sequence[StageSettings]) -> tuple[StageSettings, ...]:
        """See `Method`."""
        return (
            whole_network(stages, data="real+synthetic", mix="mixup"),
            classifier_alone(stages, data="real", sampling="class-balanced"),
        )
