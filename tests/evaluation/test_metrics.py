import json

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from synfill.config.components import METRICS
from synfill.errors import RunError
from synfill.evaluation.measure import measure
from synfill.evaluation.metrics.base import Answers, TrainCounts, definitions, title_of
from synfill.evaluation.metrics.long_tail import thirds

COUNTS = TrainCounts(
    classes=("a", "b", "c"),
    real=(101, 20, 19),
    synthetic=(0, 81, 82),
    groups=("place",),
    cells=("a / land", "a / water", "b / land", "b / water"),
    cell_real=(90, 11, 15, 5),
    cell_synthetic=(0, 0, 0, 81),
)


def one_hot(predicted, classes=3):
    """Sure of the predicted classes."""
    return np.eye(classes, dtype=np.float32)[np.asarray(predicted, int)]


def test_figures_worked_out_by_hand():
    labels = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    predicted = [0, 0, 0, 1, 1, 2, 0, 1]
    # The last image of c has a group that is missing.
    cells = np.array([0, 0, 1, 1, 2, 2, -1, -1])
    found = measure(one_hot(predicted), labels, cells, COUNTS)
    assert found.images == 8 and found.accuracy == 0.5
    assert found.per_class == (0.75, 0.5, 0.0)
    assert found.balanced_accuracy == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert (found.many, found.medium, found.few) == (0.75, 0.5, 0.0)
    assert (found.head, found.middle, found.tail) == (0.75, 0.5, 0.0)
    assert found.macro_f1 == pytest.approx((2 * 3 / 8 + 2 * 1 / 5 + 0) / 3)
    assert found.confusion == ((3, 1, 0), (0, 1, 1), (1, 1, 0))
    assert (found.worst_class, found.worst_class_name) == (0.0, "c")
    assert found.per_cell == (1.0, 0.5, 0.5, None) and found.cell_images == (2, 2, 2, 0)
    assert (found.worst_cell, found.worst_cell_name) == (0.5, "a / water")
    # b / water has no test image: the other shares are taken out of 116.
    assert found.group_weighted_accuracy == pytest.approx((90 + 0.5 * 11 + 0.5 * 15) / 116)
    assert found.expected_calibration_error == 0.5


def test_what_does_not_apply_is_none():
    counts = TrainCounts(("a", "b", "c"), (500, 500, 500), (0, 0, 0))
    labels = np.array([0, 1])
    found = measure(one_hot([0, 2]), labels, np.full(2, -1), counts)
    assert found.per_class == (1.0, 0.0, None)
    assert found.balanced_accuracy == 0.5 and found.macro_f1 == 0.5
    assert (found.many, found.medium, found.few) == (0.5, None, None)
    assert found.tail is None
    assert found.worst_cell is None and found.group_weighted_accuracy is None
    assert found.per_cell == ()


def test_waterbirds_weights_by_train_shares():
    counts = TrainCounts(
        ("land", "water"), (3682, 1113), (0, 0), ("place",),
        ("land / 0", "land / 1", "water / 0", "water / 1"), (3498, 184, 56, 1057), (0, 0, 0, 0),
    )  # fmt: skip
    cells = np.repeat(np.arange(4), [100, 100, 50, 50])
    wrong = np.concatenate([np.arange(count) < share for count, share in
                            ((100, 1), (100, 20), (50, 20), (50, 3))])  # fmt: skip
    labels = cells // 2
    found = measure(one_hot(np.where(wrong, 1 - labels, labels), 2), labels, cells, counts)
    assert found.per_cell == (0.99, 0.8, 0.6, 0.94)
    assert found.worst_cell == 0.6 and found.worst_cell_name == "water / 0"
    expected = (0.99 * 3498 + 0.8 * 184 + 0.6 * 56 + 0.94 * 1057) / 4795
    assert found.group_weighted_accuracy == pytest.approx(expected)


@pytest.mark.parametrize(
    ("real", "parts"),
    [
        ([5, 9, 7], ([1], [2], [0])),
        ([5, 9], ([1], [], [0])),
        ([5], ([], [0], [])),
        ([5, 5, 5, 5], ([0], [1, 2], [3])),
        ([1, 2, 3, 4, 5], ([4, 3], [2], [1, 0])),
        (list(range(10, 0, -1)), ([0, 1, 2], [3, 4, 5, 6], [7, 8, 9])),
    ],
)
def test_thirds(real, parts):
    assert tuple(part.tolist() for part in thirds(np.array(real))) == parts


def test_calibration_error_by_hand():
    # Two images in one bin, (9/15, 10/15]; one on the edge, 0.8 = 12/15, is in (11/15, 12/15].
    probabilities = np.array([[0.64, 0.36], [0.62, 0.38], [0.2, 0.8], [0.81, 0.19]])
    labels = np.array([0, 1, 1, 0])
    expected = (2 * abs(0.5 - 0.63) + 0.2 + 0.19) / 4
    counts = TrainCounts(("a", "b"), (1, 1), (0, 0))
    error = METRICS["expected_calibration_error"]()
    assert error.measure(Answers(probabilities, labels, labels, counts)) == pytest.approx(expected)
    assert error.measure(Answers(np.eye(2)[labels], labels, labels, counts)) == 0


KEYS = [
    "images", "accuracy", "balanced_accuracy", "many", "medium", "few", "head", "middle", "tail",
    "macro_f1", "expected_calibration_error", "worst_class", "worst_cell",
    "group_weighted_accuracy", "worst_class_name", "worst_cell_name", "per_class", "per_cell",
    "cell_images", "confusion",
]  # fmt: skip


def test_json_has_what_readers_of_all_versions_look_for():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([1, 1, 1], 30).astype(np.float32)
    found = measure(probabilities, rng.integers(0, 2, 30), rng.integers(-1, 4, 30), COUNTS)
    content = json.loads(json.dumps(found.to_json()))
    assert list(content) == KEYS
    assert content["accuracy"] == found.accuracy == found.figures["accuracy"]
    assert content["per_class"] == list(found.per_class) and content["images"] == 30
    with pytest.raises(AttributeError, match="'recall'"):
        _ = found.recall


def test_every_metric_has_a_title_and_a_definition():
    assert list(definitions()) == list(METRICS.names)
    assert definitions()["accuracy"] == "share of images classified rightly"
    assert all(len(text) > 10 and text[0].islower() for text in definitions().values())
    assert title_of("balanced_accuracy") == "balanced" and title_of("worst_cell") == "worst cell"


def test_what_cannot_be_measured():
    labels = np.array([0, 1])
    cells = np.full(2, -1)
    for bad in (np.nan, np.inf):
        probabilities = one_hot([0, 1])
        probabilities[1, 2] = bad
        with pytest.raises(RunError, match="no number for 1 of 2 images") as caught:
            measure(probabilities, labels, cells, COUNTS)
        assert "learning rate" in caught.value.hint
    with pytest.raises(RunError, match="no images"):
        measure(one_hot([]), labels[:0], cells[:0], COUNTS)
    with pytest.raises(ValueError):
        measure(one_hot([0, 1]) * 5, labels, cells, COUNTS)
    with pytest.raises(ValueError):
        measure(one_hot([0, 1], 4), labels, cells, COUNTS)
