"""Results as training leaves them, without the training."""

import numpy as np

from synfill.evaluation.measure import measure
from synfill.evaluation.metrics.base import TrainCounts
from synfill.evaluation.results import Result

COUNTS = TrainCounts(
    classes=("cat", "sea <otter>", "yak"),
    real=(150, 40, 6),
    synthetic=(0, 110, 144),
    groups=("place",),
    cells=("cat / place=land", "sea <otter> / place=land", "yak / place=land"),
    cell_real=(150, 40, 6),
    cell_synthetic=(0, 110, 144),
)
WITHOUT_GROUPS = TrainCounts(COUNTS.classes, COUNTS.real, COUNTS.synthetic)


def make_result(seed, right, counts=COUNTS, validation=False):
    """A seed's result: of 10 test images a class, `right` are classified rightly."""
    labels = np.repeat(np.arange(len(counts.classes)), 10)
    correct = np.concatenate([np.arange(10) < count for count in right])
    predicted = np.where(correct, labels, (labels + 1) % len(counts.classes))
    probabilities = np.eye(len(counts.classes), dtype=np.float32)[predicted]
    measured = measure(probabilities, labels, labels, counts)
    return Result(seed, measured, measured if validation else None, 100, 3000, 12.5)
