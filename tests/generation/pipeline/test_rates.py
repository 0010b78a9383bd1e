from __future__ import annotations

from dataclasses import replace

import pytest
from asking import ask

from synfill.generation.pipeline.rates import (
    PEAK_TFLOPS,
    UTILISATION,
    WORK,
    estimate_seconds,
    measure_rate,
    tflop_per_image,
)


@pytest.fixture
def sd15(generator):
    return replace(
        generator("sd").model, preset="sd15", steps=25, guidance_scale=7.5, size=(512, 512)
    )


def test_guidance_denoises_twice(sd15):
    work = WORK["sd15"]
    assert tflop_per_image(sd15) == pytest.approx(50 * work.call + work.decode)
    unguided = replace(sd15, guidance_scale=1.0)
    assert tflop_per_image(unguided) == pytest.approx(25 * work.call + work.decode)
    partly = replace(sd15, guidance_interval=(0.2, 0.8))
    assert tflop_per_image(partly) == pytest.approx(40 * work.call + work.decode)
    half = replace(sd15, size=(512, 256))
    assert tflop_per_image(half) == pytest.approx(tflop_per_image(sd15) / 2)
    flux = replace(sd15, preset="flux-dev", family="flux", size=(1024, 1024))
    work = WORK["flux-dev"]
    assert tflop_per_image(flux) == pytest.approx(25 * work.call + work.decode)


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
