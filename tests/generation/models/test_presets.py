from __future__ import annotations

import re

import pytest

from synfill.config.generator import DEFAULT_MODEL, MODELS, SCHEDULERS
from synfill.errors import UsageError
from synfill.generation.models.families.family import family_of, find_family
from synfill.generation.models.presets import PRESETS, find_preset
from synfill.generation.models.schedulers import (
    build_scheduler,
    check_scheduler,
    is_flow_matching,
)
from synfill.generation.pipeline.rates import WORK

SD_VAE = {"block_out_channels": [128, 256, 512, 512]}


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_a_preset_is_found_by_its_name_and_by_its_id(preset):
    assert find_preset(preset.name) is preset
    assert find_preset(preset.model) is preset
    assert find_preset(preset.model.lower()) is preset
    family = find_family(preset.family)
    assert preset.scheduler in (None, *SCHEDULERS)
    assert preset.size[0] % family.size_multiple({}) == 0
    # The dry run knows how long it takes; what ships with the package is always measured.
    assert (preset.name in WORK) == (preset.folder is None)


def test_the_default_is_stable_diffusion_1_5():
    preset = find_preset(DEFAULT_MODEL)
    assert preset.model == "stable-diffusion-v1-5/stable-diffusion-v1-5"
    assert next(iter(MODELS)) == DEFAULT_MODEL == "sd15"
    assert find_preset("someone/else") is None


@pytest.mark.parametrize(
    ("name", "turbo"),
    [
        ("stabilityai/sdxl-turbo", True),
        ("SDXL_Lightning", True),
        ("FLUX.1-schnell", True),
        ("turbocharged", False),
        ("stable-diffusion-v1-5", False),
    ],
)
def test_distilled_models_are_known_by_name(name, turbo):
    assert find_family("flux").is_distilled(name, {}) is turbo


def test_a_local_sdxl_turbo_is_known_by_its_scheduler():
    scheduler = {
        "_class_name": "EulerAncestralDiscreteScheduler",
        "timestep_spacing": "trailing",
    }
    assert find_family("sdxl").is_distilled("copy", scheduler)
    assert not find_family("sd").is_distilled("copy", scheduler)
    scheduler |= {"timestep_spacing": "leading"}
    assert not find_family("sdxl").is_distilled("copy", scheduler)


@pytest.mark.parametrize(
    ("family", "denoiser", "vae", "size", "multiple"),
    [
        ("sd", {"sample_size": 96}, SD_VAE, (768, 768), 8),
        ("sd", {"sample_size": [64, 96]}, SD_VAE, (768, 512), 8),
        ("sd", {}, {}, (512, 512), 8),
        ("sd3", {"sample_size": 128}, SD_VAE, (1024, 1024), 16),
        ("flux", {}, SD_VAE | {"sample_size": 1024}, (1024, 1024), 16),
        ("sana", {"sample_size": 32}, {"encoder_block_out_channels": [1] * 6}, (1024, 1024), 32),
        ("other", {}, {}, (1024, 1024), 32),
    ],
)
def test_size_by_the_configuration(family, denoiser, vae, size, multiple):
    assert find_family(family).native_size(denoiser, vae) == size
    assert find_family(family).size_multiple(vae) == multiple


def test_unknown_pipelines_are_of_no_family():
    assert family_of("StableDiffusionXLImg2ImgPipeline").name == "sdxl"
    assert family_of("KandinskyPipeline").name == "other"


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_can_be_made_from_the_models_own(name):
    from diffusers import PNDMScheduler

    own = PNDMScheduler(beta_start=0.001, beta_end=0.012, beta_schedule="scaled_linear")
    made = build_scheduler(name, own, flow=False)
    assert type(made).__name__ == SCHEDULERS[name][0]
    assert made.config.beta_end == 0.012
    made.set_timesteps(4)


def test_an_unknown_scheduler_has_suggestions():
    with pytest.raises(UsageError, match="no scheduler 'eulr'") as caught:
        check_scheduler("eulr", "sd15", {}, flow=False)
    assert "Did you mean 'euler'?" in caught.value.hint


def test_a_flow_matching_model_keeps_its_scheduler():
    own = {"_class_name": "FlowMatchEulerDiscreteScheduler"}
    assert is_flow_matching(own)
    assert is_flow_matching({"use_flow_sigmas": True})
    assert not is_flow_matching({"_class_name": "DDIMScheduler"})
    check_scheduler("euler", "flux-dev", own, flow=True)
    with pytest.raises(UsageError, match=re.escape("'dpm++' doesn't fit flux-dev")):
        check_scheduler("dpm++", "flux-dev", own, flow=True)
