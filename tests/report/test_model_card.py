import json

import pytest
from hub_store import card_problems
from huggingface_hub import ModelCard as HubCard
from results_fixtures import COUNTS, WITHOUT_GROUPS, make_result

from synfill.config.recipes.read import read_recipe
from synfill.evaluation.metrics.base import TrainCounts
from synfill.evaluation.results import metrics_json
from synfill.report.model_card import write_model_card

RUNS = (make_result(0, (9, 5, 1)), make_result(1, (9, 6, 2)), make_result(2, (10, 5, 1)))


def card(runs=RUNS, counts=COUNTS, *overrides, recipe="demo", pictures=()):
    results = {run.seed: run for run in runs}
    metrics = json.loads(json.dumps(metrics_json("demo", "recipe", counts, results)))
    return write_model_card(
        "alice/pets", read_recipe(recipe, overrides), metrics, "1.2.3", dict(pictures)
    )


def test_the_header_holds_the_figures_of_the_weights_that_are_there():
    text = card()
    assert card_problems(text) == []
    data = HubCard(text).data
    assert data.pipeline_tag == "image-classification" and data.library_name == "synfill"
    # Whose terms the model is under, nobody said.
    assert data.license is None and data.datasets is None
    found = {result.metric_type: result for result in data.eval_results}
    assert found["accuracy"].metric_value == 0.5 and found["tail_accuracy"].metric_value == 0.1
    assert found["worst_group_accuracy"].metric_value == 0.1
    assert found["f1"].dataset_name == "demo" and found["f1"].dataset_split == "test"


def test_the_card_says_what_it_is_and_how_to_use_it():
    text = card(RUNS, COUNTS, "stages.1.steps=100")
    for words in (
        "# pets",
        "synfill.load_classifier('alice/pets')",
        "**254 of its 450 training images are synthetic.**",
        "30 real images of the split `test` of `demo`, which chose neither an epoch nor a setting",
        "The weights here are those of seed 0.",
        "| accuracy | 50.0 | 53.3 ± 8.3 |",
        "| sea &lt;otter&gt; | 40 | 110 | 150 | 10 | 53.3 ± 14.3 |",
        "| yak / place=land | 6 | 144 | 150 | 10 | 13.3 ± 14.3 |",
        "made with `synfill balance` and the text-to-image model `demo`",
        "- Stage 2 (`classifier`): the last layer on real and synthetic images (as-is), 100 steps",
        "No licence is stated here",
        "Made by synfill 1.2.3",
    ):
        assert words in text, words


def test_one_seed_without_groups_or_synthetic_images():
    counts = TrainCounts(COUNTS.classes, COUNTS.real, (0, 0, 0))
    text = card((make_result(0, (9, 5, 1), WITHOUT_GROUPS),), counts)
    assert "with one seed only" in text and "±" not in text
    assert "## Groups" not in text and "worst cell" not in text and "are synthetic" not in text


@pytest.mark.parametrize("name", ["cifar10-lt", "cifar100-lt", "imagenet100-lt"])
def test_datasets_of_the_hub_are_linked(name):
    text = card(recipe=name)
    recipe = read_recipe(name)
    data = HubCard(text).data
    assert card_problems(text) == []
    if "/" in recipe.data.train:
        assert data.datasets == [recipe.data.train]
        assert f"https://huggingface.co/datasets/{recipe.data.train}" in text
    assert "imbalance factor 100, exp" in text


def test_many_classes_are_folded():
    names = tuple(f"class {number}" for number in range(100))
    counts = TrainCounts(names, (5,) * 100, (0,) * 100)
    text = card((make_result(0, (9,) * 100, counts),), counts)
    assert "| ... 40 more |" in text and text.count("| class ") == 61


def test_pictures_that_lie_beside_the_card_are_shown():
    assert "![" not in card()
    text = card(pictures={"confusion matrix": "confusion.png"})
    assert "![confusion matrix](confusion.png)" in text
