"""What only a GPU does. Skipped where there is none; everything else is tested on the CPU."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from asking import ask

from synfill.config.generator import GeneratorSettings
from synfill.generation.pipeline.generator import load_generator

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")

PROMPTS = ["a cat", "a dog", "a frog"]


@pytest.fixture(params=["sd", "sdxl", "sd3", "flux"])
def loaded(request, model):
    settings = GeneratorSettings(
        model=str(model(request.param)), steps=3, device="cuda", dtype="float32"
    )
    return load_generator(settings)


def test_batches_in_flight_do_not_disturb_each_other(loaded):
    alone = [loaded.make(ask(PROMPTS, [""] * 3, [seed, 2, 3])) for seed in range(6)]
    begun = [loaded.start(ask(PROMPTS, [""] * 3, [seed, 2, 3])) for seed in range(6)]
    for pending, expected in zip(begun, alone, strict=True):
        for one, other in zip(pending(), expected, strict=True):
            assert np.array_equal(one.pixels, other.pixels) and one.finite


def test_the_text_encoders_leave_the_gpu_until_they_are_needed(loaded):
    expected = loaded.make(ask(PROMPTS, [""] * 3, [1, 2, 3]))
    encoder = loaded._pipe.text_encoder
    loaded.expect(ask(PROMPTS), 3)
    assert encoder.device.type == "cpu"
    parked = loaded.make(ask(PROMPTS, [""] * 3, [1, 2, 3]))
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(expected, parked, strict=True))
    loaded.make(ask(["a bird"], [""], [1]))
    assert encoder.device.type == "cuda"


@pytest.mark.parametrize("change", [{"offload": True}, {"compile": True}])
def test_offloading_and_compiling_change_an_image_by_rounding_only(loaded, change):
    other = load_generator(replace(loaded.model, **change))
    for one, expected in zip(
        other.make(ask(PROMPTS, [""] * 3, [1, 2, 3])),
        loaded.make(ask(PROMPTS, [""] * 3, [1, 2, 3])),
        strict=True,
    ):
        assert np.abs(one.pixels.astype(int) - expected.pixels.astype(int)).max() <= 2
