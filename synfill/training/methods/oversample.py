"""The method oversample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from synfill.config.training import StageSettings
from synfill.training.methods.base import Method, whole_network


class Oversample(Method):
    """The real images, every class drawn equally often."""

    name: Literal["oversample"] = "oversample"

    def make(self, stages: Sequence[StageSettings]) -> tuple[StageSettings, ...]:
        """See `Method`."""
        return (whole_network(stages, data="real", sampling="class-balanced"),)
