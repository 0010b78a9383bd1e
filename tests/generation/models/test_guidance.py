from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from asking import ask

from synfill.balancing.settings import make_settings
from synfill.config.generator import GeneratorSettings
from synfill.errors import UsageError
from synfill.generation.models.guidance import guided_steps
from synfill.generation.models.resolve import resolve_model
from synfill.generation.pipeline.generator import Generator

PROMPTS = ["a cat", "a dog", "a frog"]
NEGATIVES = ["", "dark", "blurry"]
SEEDS = [1, 2, 3]


def with_interval(loaded, interval, **changes):
    model = replace(loaded.model, steps=5, guidance_interval=interval, **changes)
    return Generator(loaded._pipe, model)


def pixels(generator):
    return [sample.pixels for sample in generator.make(ask(PROMPTS, NEGATIVES, SEEDS))]


def furthest(some, others):
    return max(
        int(np.abs(a.astype(int) - b.astype(int)).max()) for a, b in zip(some, others, strict=True)
    )


def test_shares_become_steps():
    assert list(guided_steps((0.2, 0.8), 5)) == [1, 2, 3]
    assert list(guided_steps((0.28, 1), 25)) == list(range(7, 25))
    assert list(guided_steps((0, 0.5), 4)) == [0, 1]


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_all_steps_are_the_same_as_no_interval(generator, family):
    loaded = generator(family)
    assert (
        furthest(pixels(with_interval(loaded, (0.0, 1.0))), pixels(with_interval(loaded, None)))
        == 0
    )


@pytest.mark.parametrize("family", ["sd", "sdxl"])
@pytest.mark.parametrize("interval", [(0.0, 0.4), (0.2, 0.8), (0.6, 1.0), (0.05, 0.6)])
def test_the_network_sees_twice_the_batch_in_guided_steps_only(generator, family, interval):
    loaded = generator(family)
    seen = []
    hook = loaded._pipe.unet.register_forward_pre_hook(
        lambda module, arguments: seen.append(len(arguments[0]))
    )
    try:
        partly = pixels(with_interval(loaded, interval))
    finally:
        hook.remove()
    # PNDM takes its second step in two halves, so that five steps are six calls.
    guided = guided_steps(interval, len(seen))
    assert seen == [6 if step in guided else 3 for step in range(len(seen))]
    assert furthest(partly, pixels(with_interval(loaded, interval))) == 0
    assert furthest(partly, pixels(with_interval(loaded, None))) > 2
    assert furthest(partly, pixels(with_interval(loaded, None, guidance_scale=1.0))) > 2


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_it_is_what_a_scale_by_step_makes(generator, family):
    """The same as guiding every step, with a scale of one where there is to be none."""
    loaded = generator(family)
    partly = with_interval(loaded, (0.4, 0.8))
    pipe, scale = loaded._pipe, loaded.model.guidance_scale

    def scales(step, steps):
        return scale if step in guided_steps((0.4, 0.8), steps) else 1.0 + 1e-6

    def after_step(pipe, step, time, tensors):
        pipe._guidance_scale = scales(step + 1, pipe.num_timesteps)
        return {}

    images = pipe(
        prompt=PROMPTS,
        negative_prompt=NEGATIVES if family == "sd" else None,
        num_inference_steps=5,
        guidance_scale=scales(0, 5),
        width=64,
        height=64,
        generator=[torch.Generator().manual_seed(seed) for seed in SEEDS],
        callback_on_step_end=after_step,
        output_type="np",
    ).images
    # SDXL takes "" for zeros only where it is the negative prompt of the whole call.
    negatives = NEGATIVES if family == "sd" else [""] * 3
    made = [sample.pixels for sample in partly.make(ask(PROMPTS, negatives, SEEDS))]
    assert furthest(made, list(np.round(images * 255).astype(np.uint8))) <= 1


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        ("sd3", {}, "can't change its guidance"),
        ("flux", {}, "can't change its guidance"),
        ("sdxl-turbo", {}, "there is none"),
        ("sd", {"guidance_scale": 1.0}, "there is none"),
        ("sd", {"guidance_interval": (0.8, 0.2)}, "START < STOP"),
        ("sd", {"guidance_interval": (0.0, 1.5)}, "START < STOP"),
        ("sd", {"guidance_interval": (0.1, 0.12), "steps": 4}, "No step of 4 lies in"),
        ("sd", {"guidance_interval": (float("nan"), 1.0)}, "START < STOP"),
    ],
)
def test_what_it_does_not_work_for(model, family, changes, message):
    settings = {"model": str(model(family)), "device": "cpu", "guidance_interval": (0.2, 0.8)}
    with pytest.raises(UsageError, match=message):
        resolve_model(GeneratorSettings(**settings | changes))


def test_it_is_part_of_the_identity_where_it_is_used(model):
    settings = GeneratorSettings(model=str(model("sd")), device="cpu")
    assert "guidance_interval" not in resolve_model(settings).identity()
    used = resolve_model(settings.model_copy(update={"guidance_interval": "0.2,0.8"})).identity()
    assert used["guidance_interval"] == [0.2, 0.8]


@pytest.mark.parametrize("value", ["0.2,0.8", " .2, .8", [0.2, 0.8], (0.2, 0.8)])
def test_it_is_written_as_two_shares(value):
    assert make_settings({"guidance_interval": value}, "x").guided_shares == (0.2, 0.8)


@pytest.mark.parametrize("value", ["0.2", "0.2-0.8", "0.2,0.8,1", "a,b", " "])
def test_anything_else_is_refused(value):
    with pytest.raises(UsageError, match="START,STOP"):
        _ = make_settings({"guidance_interval": value}, "x").guided_shares
