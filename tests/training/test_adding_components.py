"""A sampling, a mix, an augmentation and a method in a file of a user's own, used from a recipe."""

from __future__ import annotations

import json

import pytest

import synfill
from synfill.config.components import AUGMENTATIONS, METHODS, MIXES, SAMPLERS
from synfill.config.recipes.keys import find_keys
from synfill.errors import UsageError

TEXT = '''
"""Components of a user's own."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from synfill.training.augment.base import Augmentation
from synfill.training.augment.mixes.base import BetaMix, Mixed
from synfill.training.methods.base import Method
from synfill.training.sampling.base import Sampler

CALLS = []


class Halves(Sampler):
    """A part of the images, another one each epoch."""

    name: Literal["halves"] = "halves"
    share: float = Field(0.5, gt=0, le=1, description="The part.")
    shortens: ClassVar[bool] = True

    def length(self, labels):
        return max(1, int(len(labels) * self.share))

    def draw(self, images, epoch):
        CALLS.append(("draw", epoch.number))
        return epoch.generator.permutation(len(images))[: self.length(images.labels)]


class WithinClass(BetaMix):
    """Mixup within a class."""

    name: Literal["within-class"] = "within-class"

    def mix(self, images, batch, weight, draw):
        import torch

        partners = np.arange(len(batch))
        for label in np.unique(batch.labels):
            own = np.flatnonzero(batch.labels == label)
            partners[own] = draw.permutation(own)
        assert (batch.labels[partners] == batch.labels).all()
        CALLS.append(("mix", weight))
        others = torch.from_numpy(partners)
        return Mixed(torch.lerp(images[others], images, weight), others, weight)


class Darken(Augmentation):
    """Each image at a random brightness."""

    name: Literal["darken"] = "darken"
    least: float = Field(0.5, ge=0, le=1, description="The least brightness.")

    def build(self):
        import torch

        def darken(images, size, generator):
            CALLS.append(("darken", self.least))
            factors = self.least + (1 - self.least) * torch.rand(len(images), generator=generator)
            return images.float() * factors[:, None, None, None]

        return darken


class Halved(Method):
    """Half of the real images an epoch."""

    name: Literal["halved"] = "halved"

    first: ClassVar = {"data": "real", "sampling": "halves"}
'''


@pytest.fixture
def module(load_module):
    module = load_module(TEXT)
    with (
        SAMPLERS.added(module.Halves),
        MIXES.added(module.WithinClass),
        AUGMENTATIONS.added(module.Darken),
        METHODS.added(module.Halved),
    ):
        yield module


def test_in_a_stage(module, recipe, tmp_path):
    stage = (
        "{epochs: 2, batch_size: 16, sampling: {name: halves, share: 0.25}, augment: {name: "
        "darken, least: 0.75}, mix: within-class, alpha: 0.4}"
    )
    overrides = [f"stages=[{stage}]", "stages.0.mix.alpha=0.2"]
    result = synfill.train(recipe, overrides=overrides, out=tmp_path / "out", device="cpu")
    assert [one for kind, one in module.CALLS if kind == "draw"] == [0, 1]
    assert {one for kind, one in module.CALLS if kind == "darken"} == {0.75}
    history = [json.loads(line) for line in (tmp_path / "out/seed-0/history.jsonl").open()]
    assert [entry["images"] for entry in history] == [18, 18]
    # The resolved recipe reads back, options and all.
    again = synfill.train(tmp_path / "out/recipe.yaml", out=tmp_path / "again", device="cpu")
    assert again.recipe == result.recipe
    weights = "seed-0/model/model.safetensors"
    assert (tmp_path / "again" / weights).read_bytes() == (tmp_path / "out" / weights).read_bytes()
    (stage,) = result.recipe.stages
    assert stage.complete(stage.mix).alpha == 0.2 and stage.alpha == 0.4


def test_in_a_comparison(module, recipe, tmp_path):
    result = synfill.train(recipe, compare=["ce", "halved"], out=tmp_path / "out", device="cpu")
    assert list(result.results) == ["ce", "halved"]
    (stage,) = json.loads((tmp_path / "out/halved/method.json").read_text())["stages"]
    assert (stage["sampling"], stage["data"]) == ("halves", "real")


def test_they_are_listed_and_suggested(module, recipe, tmp_path):
    for key, name in (("sampling", "halves"), ("mix", "within-class"), ("augment", "darken")):
        found = find_keys(f"stages.{key}")[0]
        assert f", {name} or a mapping" in found.kind and f"{name}: " in found.meaning
        with pytest.raises(UsageError, match=f"did you mean '{name}'"):
            overrides = [f"stages.0.{key}={name[:-1]}"]
            synfill.train(recipe, overrides=overrides, out=tmp_path / "out", device="cpu")
    with pytest.raises(UsageError, match="unknown method 'halvd'; did you mean 'halved'"):
        synfill.train(recipe, compare=["halvd"], out=tmp_path / "out", device="cpu")
