"""A stage in closed form, in a file of a user's own: from a recipe, after a stop, on validation."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import synfill
from synfill.config.components import STAGES
from synfill.config.recipes.keys import find_keys
from synfill.errors import Interrupted, UsageError
from synfill.reporter import LogReporter

TEXT = '''
"""The last layer from the classes' mean features."""

from typing import Literal

from pydantic import Field

from synfill.training.stage.base import TrainedStage

CALLS = []


class NearestMean(TrainedStage):
    """The classifier from each class's mean features, on real or validation images."""

    kind: Literal["nearest-mean"] = "nearest-mean"
    data: Literal["real", "validation"] = Field("real", description="Which images it sees.")
    sharpness: float = Field(1.0, gt=0, description="Factor of the logits.")

    def train(self, network, images, facts, context):
        import torch

        from synfill.training.augment.augmenter import plain
        from synfill.training.network.model import classifier_name
        from synfill.training.sampling.order import choose

        CALLS.append((context.number, context.name, facts.class_counts.tolist()))
        seen = images.of(self)
        positions = choose(self.data, seen.synthetic)
        layer = network.get_submodule(classifier_name(network))
        found = []
        hook = layer.register_forward_pre_hook(lambda module, given: found.append(given[0]))
        network.eval()
        with torch.no_grad():
            for pixels in seen.pixels.batches([positions]):
                network(plain(pixels, images.spec))
        hook.remove()
        features, labels = torch.cat(found), torch.from_numpy(seen.labels[positions])
        means = torch.stack([features[labels == one].mean(dim=0) for one in range(images.classes)])
        with torch.no_grad():
            layer.weight.copy_(2 * self.sharpness * means)
            layer.bias.copy_(-self.sharpness * means.square().sum(dim=1))
'''
FIRST = "{epochs: 2, batch_size: 16, lr: 0.05}, {kind: nearest-mean, name: means, data: DATA}"
THREE = f"stages=[{FIRST}, {{epochs: 1, batch_size: 16, lr: 0.01}}]"


@pytest.fixture
def module(load_module):
    module = load_module(TEXT)
    with STAGES.added(module.NearestMean):
        yield module


def train(recipe, out, *overrides, **options):
    return synfill.train(recipe, overrides=overrides, out=out, device="cpu", **options)


def weights(out):
    return (out / "seed-0" / "model" / "model.safetensors").read_bytes()


def read_history(out):
    return [json.loads(line) for line in (out / "seed-0" / "history.jsonl").open()]


@pytest.mark.parametrize(("data", "counts"), [("real", [24, 22, 4]), ("validation", [4, 4, 4])])
def test_from_a_recipe(module, recipe, tmp_path, data, counts):
    train(recipe, tmp_path / "out", f"stages=[{FIRST.replace('DATA', data)}]")
    assert [(1, "means", counts)] == module.CALLS
    *_, last = read_history(tmp_path / "out")
    assert (last["stage_name"], last["epoch"], last["epochs"], last["step"]) == ("means", 1, 1, 1)
    assert last["images"] == sum(counts) and 0 <= last["accuracy"] <= 1 and "validation" in last
    network = synfill.load_classifier(tmp_path / "out/seed-0/model", device="cpu").network
    layer = [one for one in network.modules() if isinstance(one, torch.nn.Linear)][-1]
    means = layer.weight / 2
    torch.testing.assert_close(layer.bias, -means.square().sum(dim=1))


class StopsIn(LogReporter):
    """Ctrl-C in a stage."""

    def __init__(self, stage):
        super().__init__()
        self.stage = stage

    def progress(self, label, done, total, detail="", rate=0.0, seconds_left=0.0):
        if self.stage in label:
            raise KeyboardInterrupt


def test_after_a_stop_it_is_not_made_again(module, recipe, tmp_path):
    settings = THREE.replace("DATA", "real")
    train(recipe, tmp_path / "whole", settings)
    with pytest.raises(Interrupted):
        train(recipe, tmp_path / "again", settings, reporter=StopsIn("stage-3"))
    made = len(module.CALLS)
    train(recipe, tmp_path / "again", settings)
    assert len(module.CALLS) == made
    assert weights(tmp_path / "again") == weights(tmp_path / "whole")
    assert [entry["stage"] for entry in read_history(tmp_path / "again")] == [1, 1, 2, 3]


def test_a_stop_in_it_makes_it_again(module, recipe, tmp_path, monkeypatch):
    settings = THREE.replace("DATA", "real")
    train(recipe, tmp_path / "whole", settings)
    own = module.NearestMean.train

    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(module.NearestMean, "train", stop)
    with pytest.raises(Interrupted):
        train(recipe, tmp_path / "again", settings)
    monkeypatch.setattr(module.NearestMean, "train", own)
    train(recipe, tmp_path / "again", settings)
    assert weights(tmp_path / "again") == weights(tmp_path / "whole")


def test_in_a_comparison_beside_built_in_methods(module, recipe, tmp_path):
    methods = "methods={means: [{}, {kind: nearest-mean}]}"
    result = train(recipe, tmp_path / "out", methods, "compare=[ce, means]")
    assert list(result.results) == ["ce", "means"]
    assert np.isfinite(result.results["means"][0].test.accuracy)
    with pytest.raises(UsageError, match="method ce is made of a first stage of the kind sgd"):
        train(recipe, tmp_path / "other", "stages=[{kind: nearest-mean}]", "compare=[ce]")


def test_it_is_listed_and_its_keys_are_checked(module, recipe, tmp_path):
    assert find_keys("stages.kind")[0].kind == "one of sgd, nearest-mean"
    assert find_keys("sharpness")[0].meaning == "Of kind: nearest-mean. Factor of the logits."
    for wrong, message in (
        ("{kind: nearest-men}", "stages.0.kind .*did you mean 'nearest-mean'"),
        ("{kind: nearest-mean, sharpness: 0}", "stages.0.sharpness .*should be more than 0"),
        ("{kind: nearest-mean, epochs: 3}", "stages.0.epochs .*unknown key"),
        ("{kind: nearest-mean, data: synthetic}", "stages.0.data .*one of real, validation"),
    ):
        with pytest.raises(UsageError, match=message):
            train(recipe, tmp_path / "out", f"stages=[{wrong}]")
    with pytest.raises(UsageError, match=r"stages.0.data .*data.validation is none"):
        train(
            recipe, tmp_path / "out", "stages=[{kind: nearest-mean, data: validation}]",
            "data.validation=none",
        )  # fmt: skip


def test_a_kind_that_sees_validation_images_by_default_needs_some(load_module, recipe, tmp_path):
    text = TEXT.replace('Field("real", d', 'Field("validation", d')
    with (
        STAGES.added(load_module(text).NearestMean),
        pytest.raises(UsageError, match=r"stages.0.data .*data.validation is none"),
    ):
        train(recipe, tmp_path / "out", "stages=[{kind: nearest-mean}]", "data.validation=none")
