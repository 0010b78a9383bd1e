"""The method synaug-mixup."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from synfill.config.training import StageSettings
from synfill.training.methods.base import Method, whole_network


class SynAugMixup(Method):
    """Real and synthetic images, with Mixup."""

    name: Literal["synaug-mixup"] = "synaug-mixup"
    needs_synthetic: ClassVar[bool] = True

    def make(self, stages: Sequence[StageSettings]) -> tuple[StageSettings, ...]:
        """See `Method`."""
        return (whole_network(stages, data="real+synthetic", mix="mixup"),)
