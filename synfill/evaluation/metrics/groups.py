"""Accuracy over cells: a class within one value of each group."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from synfill.evaluation.metrics.base import Answers, Metric, Shown, worst


class WorstCell(Metric):
    """Accuracy of each seed's worst cell (class within groups)."""

    name: Literal["worst_cell"] = "worst_cell"
    shown: ClassVar[Shown] = "summary"
    is_paired: ClassVar[bool] = True

    def measure(self, answers: Answers) -> float | None:
        """The figure, over cells with images here; None without groups."""
        position = worst(answers.cell_accuracy)
        return None if position is None else float(answers.cell_accuracy[position])


class GroupWeightedAccuracy(Metric):
    """Mean of the cells' accuracies, by their shares of real training images.

    As is usual for Waterbirds; over cells that have images here.
    """

    name: Literal["group_weighted_accuracy"] = "group_weighted_accuracy"
    shown: ClassVar[Shown] = "metrics"

    def measure(self, answers: Answers) -> float | None:
        """The figure; None without groups."""
        seen = np.flatnonzero(answers.cell_images)
        shares = np.array(answers.counts.cell_real, dtype=np.float64)[seen]
        if not shares.sum():
            return None
        return float(np.average(answers.cell_accuracy[seen], weights=shares))
