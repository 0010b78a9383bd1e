"""The stage `sgd`: batch by batch down the gradient of a loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from synfill.config.recipes.stages import StageSettings
from synfill.training.losses.base import Facts, Loss
from synfill.training.stage.base import Images, StageContext, TrainedStage

if TYPE_CHECKING:
    from torch import nn

    from synfill.training.losses.module import LossModule


class Sgd(StageSettings, TrainedStage):
    """Batch by batch down the gradient of a loss, with SGD, Adam or AdamW."""

    def train(
        self, network: nn.Module, images: Images, facts: Facts, context: StageContext
    ) -> None:
        """See `TrainedStage`."""
        from synfill.training.stage.descent import descend

        descend(self, network, images, facts, context)

    def build_loss(self, facts: Facts) -> LossModule:
        """See `TrainedStage`."""
        return cast(Loss, self.complete(self.loss)).build(facts)
