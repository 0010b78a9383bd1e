"""A pipeline family is added in one file, and a recipe's balance section can use its models."""

import json

import pytest
import tiny_models
import torch
from datasets_fixtures import make_imagefolder
from temporary_modules import temporary_module

from synfill.config.components import FAMILIES

CONSISTENCY = '''
from typing import Any, ClassVar, Literal

from synfill.generation.models.families.family import Family

ENCODED = []


class Consistency(Family):
    """Latent consistency models: Stable Diffusion, distilled, with guidance as an input."""

    name: Literal["consistency"] = "consistency"
    pipelines: ClassVar = ("LatentConsistencyModelPipeline",)
    steps: ClassVar = 3
    guidance_scale: ClassVar = 8.5
    native: ClassVar = 768
    multiple: ClassVar = 8
    guidance_in_weights: ClassVar = True

    def encode(self, pipe, model, prompt, negative):
        ENCODED.append(prompt)
        embeddings, _ = pipe.encode_prompt(prompt, pipe._execution_device, 1, False)
        return {"prompt_embeds": embeddings}
'''


@pytest.fixture
def model(tmp_path):
    """A small latent consistency model with random weights."""
    from diffusers import LatentConsistencyModelPipeline, LCMScheduler

    torch.manual_seed(0)
    pipe = LatentConsistencyModelPipeline(
        vae=tiny_models._vae(4),
        text_encoder=tiny_models._clip(),
        tokenizer=tiny_models._clip_tokenizer(),
        unet=tiny_models._unet(time_cond_proj_dim=16),
        scheduler=LCMScheduler(**tiny_models._BETAS),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.save_pretrained(tmp_path / "consistency")
    return tmp_path / "consistency"


def test_a_new_family_is_used_by_a_recipe(cli, model, tmp_path):
    photos = make_imagefolder(tmp_path / "photos", {"train": {"cat": 6, "dog": 3}})
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"""
name: consistency
model: resnet8
data:
  train: {photos}
  synthetic:
    balance: {{model: {model}, prompt: "a photo of a {{label}}"}}
stages: [{{data: real+synthetic, epochs: 1}}]
""")
    with (
        temporary_module(tmp_path, "consistency_family", CONSISTENCY) as module,
        FAMILIES.added(module.Consistency),
    ):
        ran = cli("balance", "--settings", recipe, "--out", tmp_path / "out")
    assert ran.code == 0, ran.err
    assert module.ENCODED == ["a photo of a dog"]
    identity = json.loads((tmp_path / "out/synfill/run.json").read_text())["identity"]
    assert (identity["steps"], identity["guidance-scale"], identity["size"]) == (3, 8.5, [64, 64])
