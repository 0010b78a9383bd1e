"""The method ce."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from synfill.config.training import StageSettings
from synfill.training.methods.base import Method, whole_network


class CrossEntropyOnly(Method):
    """Cross-entropy on the real images."""

    name: Literal["ce"] = "ce"

    def make(self, stages: Sequence[StageSettings]) -> tuple[StageSettings, ...]:
        """See `Method`."""
        return (whole_network(stages, data="real"),)
