"""The method undersample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from synfill.config.training import StageSettings
from synfill.training.methods.base import Method, whole_network


class Undersample(Method):
    """As many real images of each class as the smallest has."""

    name: Literal["undersample"] = "undersample"

    def make(self, stages: Sequence[StageSettings]) -> tuple[StageSettings, ...]:
        """See `Method`."""
        return (whole_network(stages, data="real", sampling="undersample"),)
