"""How far a classifier's confidence is from how often it is right."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from synfill.evaluation.metrics.base import Answers, Metric, Shown

BINS = 15


class ExpectedCalibrationError(Metric):
    """Mean gap of confidence and accuracy, 15 bins (Guo et al. 2017).

    On Calibration of Modern Neural Networks: sum over m of |B_m| / n * |acc(B_m) - conf(B_m)|,
    where B_m are the images whose largest probability lies in ((m - 1) / 15, m / 15], acc is the
    share of them that is classified rightly, and conf the mean of their largest probabilities.
    """

    name: Literal["expected_calibration_error"] = "expected_calibration_error"
    shown: ClassVar[Shown] = "metrics"
    is_error: ClassVar[bool] = True

    def measure(self, answers: Answers) -> float:
        """The figure."""
        confidence = answers.probabilities.max(axis=1).astype(np.float64)
        bins = np.clip(np.ceil(confidence * BINS) - 1, 0, BINS - 1).astype(np.int64)
        # |B_m| cancels out: what is left is the sum of the differences of the sums.
        gaps = np.bincount(bins, answers.right - confidence, minlength=BINS)
        return float(np.abs(gaps).sum() / len(answers.labels))
