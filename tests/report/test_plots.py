"""Pictures for few and many classes; that they are readable was looked at, not tested."""

import io
import json

import numpy as np
import pytest
from PIL import Image
from results_fixtures import COUNTS, WITHOUT_GROUPS, make_result

from synfill.config.recipes.methods import name_problem
from synfill.evaluation.comparison import Subject, compare
from synfill.evaluation.metrics.base import TrainCounts
from synfill.evaluation.results import metrics_json
from synfill.report.plots import (
    _COLORS,
    _mark,
    draw_confusion,
    draw_curves,
    draw_figures,
    draw_sizes,
)


def metrics(classes, seeds=2):
    names = tuple(f"$class {number}" for number in range(classes))
    counts = TrainCounts(names, tuple(range(classes, 0, -1)), (0,) * classes)
    right = [7] * classes
    runs = {seed: make_result(seed, right, counts) for seed in range(seeds)}
    return json.loads(json.dumps(metrics_json("demo", "ce", counts, runs)))


def size(png):
    return Image.open(io.BytesIO(png)).size


@pytest.mark.parametrize("classes", [2, 12, 41, 250])
def test_any_number_of_classes_gives_a_picture_of_bounded_size(classes):
    found = metrics(classes)
    for draw in (lambda: draw_confusion("x", found), lambda: draw_sizes("x", {"ce": found})):
        png = draw()
        assert png == draw()
        assert max(size(png)) <= 1500


def test_a_class_without_test_images_is_left_out():
    found = metrics(3)
    found["test"]["per_class"][1]["accuracy"] = None
    found["test"]["confusion"] = np.diag([4, 0, 4])[None].tolist()
    assert draw_confusion("x", found) and draw_sizes("x", {"ce": found})


@pytest.mark.parametrize("counts", [COUNTS, WITHOUT_GROUPS])
@pytest.mark.parametrize("seeds", [1, 3])
def test_a_comparison(counts, seeds):
    def of(right):
        return {seed: make_result(seed, right, counts) for seed in range(seeds)}

    results = {"ce": of((9, 5, 1)), "mine": of((9, 8, 4))}
    entries = json.loads(json.dumps(compare(Subject("x", "y", counts, 30), results).to_json()))
    assert draw_figures("x", entries) == draw_figures("x", entries)
    assert draw_figures("x", entries[:1])


def test_curves_of_one_epoch():
    entry = {"stage": 1, "stage_name": "s", "epoch": 1, "step": 5, "lr": 0.1, "loss": 1.0,
             "accuracy": 0.5}  # fmt: skip
    assert size(draw_curves("x", [0], [[entry]])) == size(draw_curves("x", [0, 1], [[entry]] * 2))


@pytest.mark.parametrize(
    "name", ["confusion.png", "class-sizes.png", "learning-curves.png", "comparison.png",
             "method.json", "trackers"],
)  # fmt: skip
def test_no_method_is_called_like_a_file_of_the_results(name):
    assert "names a file" in name_problem(name)


def test_a_stage_of_one_epoch_is_seen():
    def entry(stage, epoch, step, accuracy):
        return {"stage": stage, "stage_name": "s", "epoch": epoch, "step": step, "lr": 0.1,
                "loss": 1.0, "accuracy": accuracy}  # fmt: skip

    histories = [
        [entry(1, 1, 5, 0.2), entry(1, 2, 10, 0.3), entry(2, 1, 5, last)] for last in (0.5, 0.9)
    ]
    assert draw_curves("x", [0], histories[:1]) != draw_curves("x", [0], histories[1:])


def test_no_two_methods_look_alike():
    marks = [(_mark(at), _COLORS[at % len(_COLORS)]) for at in range(30)]
    assert len({*marks}) == 30
