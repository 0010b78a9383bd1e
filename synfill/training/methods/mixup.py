"""The method mixup."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from synfill.config.training import StageSettings
from synfill.training.methods.base import Method, whole_network


class MixupOnly(Method):
    """The real images, with Mixup."""

    name: Literal["mixup"] = "mixup"

    def make(self, stages: Sequence[StageSettings]) -> tuple[StageSettings, ...]:
        """See `Method`."""
        return (whole_network(stages, data="real", mix="mixup"),)
