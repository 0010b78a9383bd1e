from __future__ import annotations

from copy import copy
from dataclasses import replace

import pytest
import torch
from asking import ask
from torch.utils.flop_counter import FlopCounterMode

from synfill.generation.models.presets import find_preset
from synfill.generation.models.schedulers import build_scheduler
from synfill.generation.pipeline import rates
from synfill.generation.pipeline.generator import Generator
from synfill.generation.pipeline.rates import (
    PEAK_TFLOPS,
    UTILISATION,
    Work,
    estimate_seconds,
    measure_rate,
    tflop_per_image,
)


@pytest.fixture
def sd15(generator):
    return replace(
        generator("sd").model, preset="sd15", steps=25, guidance_scale=7.5, size=(512, 512)
    )


def operations(function):
    """Tera-operations of a call, as torch counts them."""
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops() / 1e12


@pytest.fixture
def counted(generator, monkeypatch):
    """A small pipeline in a preset's place: its own operations, counted part by part."""

    def get(family, preset, **changes):
        loaded = generator(family)
        known = find_preset(preset)
        pipe = copy(loaded._pipe)
        pipe.scheduler = build_scheduler("ddim", pipe.scheduler, flow=loaded.model.flow)
        calls, part = [], pipe.unet if hasattr(pipe, "unet") else pipe.transformer

        def remember(module, arguments, keywords):
            calls.append((arguments, keywords))

        hook = part.register_forward_pre_hook(remember, with_kwargs=True)
        unguided = replace(loaded.model, guidance_scale=1.0, steps=1, size=(64, 64))
        Generator(pipe, unguided).make(ask(["a cat"]))
        hook.remove()
        arguments, keywords = calls[0]
        latents = torch.randn(1, pipe.vae.config.latent_channels, 8, 8)
        scale = known.size[0] * known.size[1] / 64**2  # from the small pipeline's size
        work = Work(
            scale * operations(lambda: part(*arguments, **keywords)),
            scale * operations(lambda: pipe.vae.decode(latents)),
        )
        monkeypatch.setitem(rates.WORK, preset, work)
        model = replace(loaded.model, preset=preset, **{"size": (64, 64)} | changes)
        return Generator(pipe, model)

    return get


@pytest.mark.parametrize(
    ("family", "preset", "changes", "precision"),
    [
        ("sd", "sd15", {"steps": 3, "guidance_scale": 7.5}, 0.001),
        ("sd", "sd15", {"steps": 3, "guidance_scale": 1.0}, 0.001),
        ("sd", "sd15", {"steps": 5, "guidance_interval": (0.2, 0.8)}, 0.001),
        # With fewer pixels attention takes less than its share, and what the prompt takes stays.
        ("sd", "sd15", {"steps": 3, "size": (64, 32)}, 0.1),
        ("sdxl", "sdxl", {"steps": 2, "guidance_scale": 5.0}, 0.001),
        ("sd3", "sd35-medium", {"steps": 2, "guidance_scale": 4.5}, 0.001),
        ("flux", "flux-dev", {"steps": 3, "guidance_scale": 3.5}, 0.001),
    ],
)
def test_the_operations_are_those_that_torch_counts(counted, family, preset, changes, precision):
    loaded = counted(family, preset, **changes)
    loaded.make(ask(["a cat"]))  # so that its prompt is encoded: the estimate leaves that out
    measured = operations(lambda: loaded.make(ask(["a cat"])))
    assert tflop_per_image(loaded.model) == pytest.approx(measured, rel=precision)


def test_an_estimate_for_each_device_class(sd15):
    tflop = tflop_per_image(sd15)
    for device, peak in PEAK_TFLOPS.items():
        expected = 1000 * tflop / peak / UTILISATION
        assert estimate_seconds(sd15, 1000, device) == pytest.approx(expected)


def test_an_unknown_model_has_no_estimate(generator):
    assert estimate_seconds(generator("sd").model, 10, "H100") is None


def test_a_warm_up_measures_a_rate(generator):
    rate = measure_rate(generator("sd"), ask(["a cat"])[0])
    assert 0 < rate < 30
    assert measure_rate(generator("sd").with_steps(6), ask(["a cat"])[0], batch_size=2) > 0
    assert generator("sd").model.steps == 3
