"""A kind of networks from a module of the user's own, used by a recipe and read again."""

import importlib.util
import json

import pytest
from training_fixtures import make_colours, write_recipe

import synfill
from synfill.config.components import NETWORKS
from synfill.errors import UsageError

MODULE = """
from typing import Literal

from synfill.training.network.base import NetworkKind, NetworkProblem


class Linear(NetworkKind):
    \"\"\"One layer, for comparison.\"\"\"

    name: Literal["linear"] = "linear"

    def names(self):
        return ("linear-small", "linear-large")

    def find_problem(self, settings):
        if not settings.pretrained:
            return None
        return NetworkProblem("pretrained", "a single layer has none", "Set pretrained: false.")

    def build(self, settings, classes, image_size):
        from torch import nn

        side = 2 if settings.name == "linear-small" else 4
        return nn.Sequential(
            nn.AdaptiveAvgPool2d(side), nn.Flatten(), nn.Linear(3 * side**2, classes)
        )
"""


@pytest.fixture
def linear(tmp_path):
    path = tmp_path / "my_networks.py"
    path.write_text(MODULE)
    spec = importlib.util.spec_from_file_location("my_networks", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with NETWORKS.added(module.Linear):
        yield


def test_a_new_kind_of_networks_is_trained_and_read_again(linear, tmp_path):
    recipe = write_recipe(tmp_path / "recipe.yaml", make_colours(tmp_path / "colours"))
    out = tmp_path / "out"
    overrides = ["model=linear-large", "stages=[{epochs: 1, batch_size: 16, augment: none}]"]
    result = synfill.train(recipe, overrides=overrides, out=out, device="cpu")
    model = out / "seed-0" / "model"
    assert json.loads((model / "config.json").read_text())["model"]["name"] == "linear-large"
    classifier = synfill.load_classifier(model, device="cpu")
    assert classifier.network[2].in_features == 48
    assert 0 <= result.results["recipe"][0].test.accuracy <= 1


@pytest.mark.parametrize(
    ("model", "words"),
    [("linear-smal", "did you mean 'linear-small'"),
     ("{name: linear-small, pretrained: true}", "a single layer has none")],
)  # fmt: skip
def test_its_names_are_suggested_and_its_problems_named(linear, tmp_path, model, words):
    recipe = write_recipe(tmp_path / "recipe.yaml", tmp_path)
    with pytest.raises(UsageError, match=words):
        synfill.train(recipe, overrides=[f"model={model}"], out=tmp_path / "out")


def test_without_it_the_name_is_unknown(tmp_path):
    recipe = write_recipe(tmp_path / "recipe.yaml", tmp_path)
    with pytest.raises(UsageError, match="no network 'linear-small'"):
        synfill.train(recipe, overrides=["model=linear-small"], out=tmp_path / "out")
