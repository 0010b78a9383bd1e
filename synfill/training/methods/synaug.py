"""The method synaug."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from synfill.config.training import StageSettings
from synfill.training.methods.base import Method, whole_network


class SynAug(Method):
    """Real and synthetic images."""

    name: Literal["synaug"] = "synaug"
    needs_synthetic: ClassVar[bool] = True

    def make(self, stages: Sequence[StageSettings]) -> tuple[StageSettings, ...]:
        """See `Method`."""
        return (whole_network(stages, data="real+synthetic"),)
