"""As few images of every class as the smallest has."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from synfill.training.images.known import Known
from synfill.training.sampling.base import Epoch, Sampler


class Undersample(Sampler):
    """A fixed random choice of as many images a class as the smallest has."""

    name: Literal["undersample"] = "undersample"
    shortens: ClassVar[bool] = True

    def length(self, labels: NDArray[np.int64]) -> int:
        """See `Sampler`."""
        counts = np.bincount(labels)
        counts = counts[counts > 0]
        return int(counts.min()) * len(counts)

    def draw(self, images: Known, epoch: Epoch) -> NDArray[np.int64]:
        """See `Sampler`."""
        labels = images.labels
        counts = np.bincount(labels)
        counts = counts[counts > 0]
        shuffled = epoch.fixed.permutation(len(images))
        by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
        firsts = np.cumsum(counts) - counts
        chosen = (firsts[:, None] + np.arange(counts.min())).ravel()
        return epoch.generator.permutation(by_class[chosen])
