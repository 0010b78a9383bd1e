from __future__ import annotations

import copy
import shutil
from dataclasses import replace

import numpy as np
import pytest
import tiny_models
import torch
from asking import ask
from safetensors.torch import load_file, save_file

from synfill.config.generator import GeneratorSettings
from synfill.generation.models.families.family import find_family
from synfill.generation.models.families.stable_diffusion import StableDiffusion
from synfill.generation.pipeline.generator import Generator, load_generator
from synfill.generation.pipeline.prompt_cache import PromptCache
from synfill.generation.pipeline.samples import OutOfMemory
from synfill.quality.check import Facts
from synfill.quality.judge import Checks
from synfill.records import Cell, Request

FAMILIES = ["sd", "sdxl", "sd3", "flux"]

PROMPTS = ["a photo of a cat", "a dog", "a photo of a cat", "a frog on a leaf", "an airplane"]
NEGATIVES = ["", "blurry", "", "dark", ""]
SEEDS = [1, 1, 2, 3, 2**40]


def furthest(a, b):
    return int(np.abs(a.pixels.astype(int) - b.pixels.astype(int)).max())


def mean_difference(a, b):
    return float(np.abs(a.pixels.astype(int) - b.pixels.astype(int)).mean())


@pytest.mark.parametrize("family", FAMILIES)
def test_an_image_depends_neither_on_the_batch_size_nor_on_its_neighbours(generator, family):
    made = generator(family).make(ask(PROMPTS, NEGATIVES, SEEDS))
    for start, size in ((0, 1), (0, 3), (2, 3), (4, 1)):
        part = slice(start, start + size)
        again = generator(family).make(ask(PROMPTS[part], NEGATIVES[part], SEEDS[part]))
        for one, other in zip(made[part], again, strict=True):
            assert furthest(one, other) <= 1
    shuffled = [3, 0, 4, 2, 1]
    every = ask(PROMPTS, NEGATIVES, SEEDS)
    again = generator(family).make([every[i] for i in shuffled])
    for i, sample in zip(shuffled, again, strict=True):
        assert furthest(made[i], sample) <= 1


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_call_gives_the_same_bytes_and_every_input_counts(generator, family):
    make = generator(family).make
    cat, dog, other_seed = make(ask(["a cat", "a dog", "a cat"], [""] * 3, [1, 1, 2]))
    again, _, _ = make(ask(["a cat", "a dog", "a cat"], [""] * 3, [1, 1, 2]))
    (negated,) = make(ask(["a cat"], ["a blurry drawing"], [1]))
    assert np.array_equal(cat.pixels, again.pixels)
    assert cat.pixels.shape == (64, 64, 3) and cat.pixels.dtype == np.uint8
    assert cat.finite and not cat.flagged
    assert cat.pixels.std() > 20
    assert mean_difference(cat, dog) > 0.5
    assert mean_difference(cat, other_seed) > 2
    assert mean_difference(cat, negated) > 0.5


@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_the_image_that_diffusers_itself_makes(generator, family):
    loaded = generator(family)
    (sample,) = loaded.make(ask(["a cat"], [""], [5]))
    image = loaded._pipe(
        prompt="a cat",
        num_inference_steps=3,
        guidance_scale=loaded.model.guidance_scale,
        width=64,
        height=64,
        generator=torch.Generator().manual_seed(5),
        output_type="np",
    ).images[0]
    assert np.abs(np.round(image * 255) - sample.pixels).max() <= 1


def test_every_prompt_is_encoded_once_and_alone(generator, monkeypatch):
    calls = []
    encode = StableDiffusion.encode

    def spy(self, pipe, model, *texts):
        calls.append(texts)
        return encode(self, pipe, model, *texts)

    monkeypatch.setattr(StableDiffusion, "encode", spy)
    loaded = generator("sd")
    fresh = Generator(loaded._pipe, loaded.model)
    for _ in range(2):
        fresh.make(ask(["a cat", "a dog", "a cat"], ["", "", "dark"], [1, 2, 3]))
    assert calls == [("a cat", ""), ("a dog", ""), ("a cat", "dark")]


def test_the_prompt_cache_is_bounded(generator):
    loaded = generator("sd")
    one = 2 * 77 * tiny_models.HIDDEN * 4
    cache = PromptCache(loaded._pipe, loaded.model, limit=2 * one)
    with torch.inference_mode():
        for prompt in ("a", "b", "a", "c"):
            cache.batch([prompt], [""])
    assert list(cache._kept) == [("a", ""), ("c", "")]
    assert cache._bytes == 2 * one


@pytest.mark.parametrize("family", FAMILIES)
def test_text_encoders_can_be_taken_off_once_all_prompts_are_encoded(generator, family):
    loaded = generator(family)
    expected = loaded.make(ask(PROMPTS, NEGATIVES, SEEDS))
    fresh = Generator(loaded._pipe, loaded.model)
    with torch.inference_mode():
        assert fresh._cache.keep_all(list(dict.fromkeys(zip(PROMPTS, NEGATIVES, strict=True))))
    fresh._cache.park_encoders()
    assert loaded._pipe.text_encoder is None
    parked = fresh.make(ask(PROMPTS, NEGATIVES, SEEDS))
    assert loaded._pipe.text_encoder is None
    for one, other in zip(expected, parked, strict=True):
        assert np.array_equal(one.pixels, other.pixels)
    # A prompt that wasn't among them brings them back.
    (new,) = fresh.make(ask(["a bird"], [""], [1]))
    assert loaded._pipe.text_encoder is not None
    assert np.array_equal(new.pixels, loaded.make(ask(["a bird"], [""], [1]))[0].pixels)


def test_prompts_that_cannot_all_be_kept_are_encoded_when_they_come(generator):
    loaded = generator("sd")
    one = 2 * 77 * tiny_models.HIDDEN * 4
    cache = PromptCache(loaded._pipe, loaded.model, limit=2 * one)
    with torch.inference_mode():
        assert not cache.keep_all([("a", ""), ("b", ""), ("c", "")])
        assert list(cache._kept) == [("a", "")]
        assert cache.keep_all([("a", ""), ("b", "")])
        assert not cache.keep_all([])


def test_nothing_is_encoded_ahead_on_a_cpu(generator):
    loaded = generator("sd")
    fresh = Generator(loaded._pipe, loaded.model)
    fresh.expect(ask(["a"]), 1)
    assert fresh._cache._kept == {} and loaded._pipe.text_encoder is not None


def test_what_is_begun_can_be_waited_for_later_and_twice(generator):
    loaded = generator("flux")
    made = loaded.make(ask(PROMPTS, NEGATIVES, SEEDS))
    begun = loaded.start(ask(PROMPTS, NEGATIVES, SEEDS))
    alone = loaded.start(ask(PROMPTS[:1]))
    for _ in range(2):
        for one, other in zip(begun(), made, strict=True):
            assert np.array_equal(one.pixels, other.pixels)
    assert len(alone()) == 1


def test_without_guidance_there_is_no_negative_pass(generator, model):
    loaded = generator("sd")
    plain = Generator(loaded._pipe, replace(loaded.model, guidance_scale=1.0))
    one, other = plain.make(ask(["a cat", "a cat"], ["", "a blurry drawing"], [1, 1]))
    assert furthest(one, other) <= 1
    embeddings = find_family("sd").encode(loaded._pipe, plain.model, "a cat", "dark")
    assert set(embeddings) == {"prompt_embeds"}


def test_a_turbo_model_is_recognized_and_runs_without_guidance(generator):
    turbo = generator("sdxl-turbo")
    assert turbo.model.guidance_scale == 0
    assert not turbo.model.negative_prompts
    one, other = turbo.make(ask(["a cat", "a dog"], ["", ""], [1, 1]))
    (alone,) = turbo.make(ask(["a dog"], [""], [1]))
    # Its sampler adds noise in every step: that comes from the image's own seed as well.
    assert furthest(other, alone) <= 1
    assert mean_difference(one, other) > 0.5


def test_the_safety_checker_flags_and_blackens(generator):
    samples = generator("sd-safe").make(ask(["a photo of a cat"] * 12, [""] * 12, list(range(12))))
    flagged = [sample for sample in samples if sample.flagged]
    assert 0 < len(flagged) < 12
    assert all(sample.pixels.max() == 0 for sample in flagged)
    request = Request(0, Cell("cat"), "a photo of a cat", "", 0)
    (verdict,) = Checks(Facts((64, 64))).judge([request], [flagged[0]])
    assert (verdict.accepted, verdict.reason) == (False, "flagged by the safety checker")


def test_broken_weights_give_images_that_are_not_finite(model, tmp_path):
    path = shutil.copytree(model("sd"), tmp_path / "nan")
    file = path / "vae" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    weights["decoder.conv_out.bias"][0] = float("nan")
    save_file(weights, file, metadata={"format": "pt"})
    broken = load_generator(GeneratorSettings(model=str(path), steps=1, device="cpu"))
    (sample,) = broken.make(ask(["a cat"], [""], [1]))
    assert not sample.finite
    request = Request(0, Cell("cat"), "a cat", "", 1)
    (verdict,) = Checks(Facts((64, 64))).judge([request], [sample])
    assert verdict.reason == "not finite"


@pytest.mark.parametrize(
    "message",
    [
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes.",
        "MPS backend out of memory (MPS allocated: 1 GB)",
    ],
)
def test_running_out_of_memory_is_told_apart(generator, monkeypatch, message):
    loaded = generator("sd")

    def fail(*_, **__):
        raise RuntimeError(message)

    monkeypatch.setattr(loaded._pipe.vae, "decode", fail)
    with pytest.raises(OutOfMemory) as caught:
        loaded.make(ask(["a", "b"], ["", ""], [1, 2]))
    assert caught.value.batch == 2
    assert caught.value.__context__ is None  # or the failed call's tensors would live on


def test_running_out_of_memory_in_a_decoder_that_was_made_float32(model, monkeypatch):
    """SDXL's is, for as long as it decodes; the smaller batch after it starts as the first did."""
    settings = GeneratorSettings(
        model=str(model("sdxl")), dtype="float16", device="cpu", size="64x64", steps=1
    )
    loaded = load_generator(settings)
    vae = loaded._pipe.vae
    vae.register_to_config(force_upcast=True)
    decode = vae.decode

    def decode_some(latents, *arguments, **keywords):
        if len(latents) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return decode(latents, *arguments, **keywords)

    monkeypatch.setattr(vae, "decode", decode_some)
    with pytest.raises(OutOfMemory):
        loaded.make(ask(["a", "b"], ["", ""], [1, 2]))
    assert vae.dtype == torch.float16
    (sample,) = loaded.make(ask(["a"], [""], [1]))
    assert sample.finite


def test_another_failure_is_not_taken_for_it(generator, monkeypatch):
    loaded = generator("sd")

    def fail(*_, **__):
        raise RuntimeError("a bug")

    monkeypatch.setattr(loaded._pipe.vae, "decode", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        loaded.make(ask(["a"], [""], [1]))


def test_a_pipeline_of_no_known_family_gets_its_prompts_as_text(generator):
    loaded = generator("sd")
    other = Generator(loaded._pipe, replace(loaded.model, family="other"))
    known = loaded.make(ask(PROMPTS[:3], NEGATIVES[:3], SEEDS[:3]))
    unknown = other.make(ask(PROMPTS[:3], NEGATIVES[:3], SEEDS[:3]))
    assert all(furthest(a, b) <= 1 for a, b in zip(known, unknown, strict=True))


def test_a_compiled_denoiser_sees_one_batch_size(generator):
    loaded = generator("sd")
    static = Generator(loaded._pipe, replace(loaded.model, compile=True))
    seen = []
    original = loaded._pipe.unet.forward

    def spy(sample, *arguments, **keywords):
        seen.append(len(sample))
        return original(sample, *arguments, **keywords)

    loaded._pipe.unet.forward = spy
    try:
        static.make(ask(["a"] * 4, [""] * 4, [1, 2, 3, 4]))
        (last,) = static.make(ask(["a"], [""], [3]))
        # A resumed run may begin with what is left of a batch.
        resumed = Generator(loaded._pipe, replace(loaded.model, compile=True))
        resumed.expect([], 4)
        (again,) = resumed.make(ask(["a"], [""], [3]))
    finally:
        del loaded._pipe.unet.forward
    assert set(seen) == {8}
    assert furthest(last, again) == 0
    assert furthest(last, loaded.make(ask(["a"], [""], [3]))[0]) <= 1


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("way", ["channels-last", "sliced decoding"])
def test_what_a_gpu_gets_makes_the_same_images(generator, family, way):
    """The layout of load.py, and the decoding of --offload, tried where there is no GPU."""
    loaded = generator(family)
    expected = loaded.make(ask(PROMPTS, NEGATIVES, SEEDS))
    pipe = copy.deepcopy(loaded._pipe)
    if way == "channels-last":
        for part in (getattr(pipe, "unet", None), pipe.vae):
            if part is not None:
                part.to(memory_format=torch.channels_last)
    else:
        pipe.vae.enable_slicing()
    made = Generator(pipe, loaded.model).make(ask(PROMPTS, NEGATIVES, SEEDS))
    assert all(furthest(a, b) <= 1 for a, b in zip(expected, made, strict=True))


def test_other_sizes_and_schedulers(model):
    settings = GeneratorSettings(
        model=str(model("sd")), steps=2, size="48x32", scheduler="euler-a", device="cpu"
    )
    (sample,) = load_generator(settings).make(ask(["a cat"], [""], [1]))
    assert sample.pixels.shape == (32, 48, 3)
