"""Every cell equally often."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from synfill.training.images.known import Known
from synfill.training.sampling.base import Epoch, Sampler, draw_evenly


class GroupBalanced(Sampler):
    """Like class-balanced, over the cells (class within group).

    Images without a cell are never drawn.
    """

    name: Literal["group-balanced"] = "group-balanced"
    needs_groups: ClassVar[bool] = True

    def draw(self, images: Known, epoch: Epoch) -> NDArray[np.int64]:
        """See `Sampler`."""
        with_cell = np.flatnonzero(images.cells >= 0)
        drawn = draw_evenly(images.cells[with_cell], len(images), epoch.generator)
        chosen: NDArray[np.int64] = with_cell[drawn]
        return chosen
