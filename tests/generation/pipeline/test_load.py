from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import tiny_models
import torch
from asking import ask

from synfill.config.generator import GeneratorSettings
from synfill.errors import RunError, UsageError
from synfill.generation.pipeline.generator import load_generator


def load(model, **settings):
    return load_generator(GeneratorSettings(model=str(model), steps=2, device="cpu", **settings))


@pytest.fixture
def copied(model, tmp_path):
    """A copy of the small Stable Diffusion model, to be spoilt."""
    return shutil.copytree(model("sd"), tmp_path / "model")


def test_loading_is_silent(copied, capfd):
    loaded = load(copied)
    loaded.make(ask(["a cat"], [""], [1]))
    assert capfd.readouterr() == ("", "")
    assert loaded.info.pipeline == "StableDiffusionPipeline"
    assert len(loaded.info.revision) == 32


def test_no_memory_for_the_weights(copied, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")

    monkeypatch.setattr("diffusers.DiffusionPipeline.to", full)
    with pytest.raises(RunError, match="not enough memory on cpu") as caught:
        load(copied)
    assert "--offload" in caught.value.hint


@pytest.mark.parametrize("kept", [0, 100, 5000])
def test_truncated_weights(copied, kept):
    file = copied / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(RunError, match="can't be loaded") as caught:
        load(copied)
    assert "damaged or incomplete" in caught.value.hint


def test_a_truncated_text_encoder(copied):
    file = copied / "text_encoder" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(RunError, match="can't be loaded"):
        load(copied)


def test_a_missing_tokenizer(copied):
    shutil.rmtree(copied / "tokenizer")
    with pytest.raises(RunError, match="has no tokenizer/"):
        load(copied)


@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        ("AudioLDM2Pipeline", "makes no images from text"),
        ("StableVideoDiffusionPipeline", "makes no images from text"),
        ("PipelineOfTomorrow", "which diffusers .* doesn't have"),
    ],
)
def test_what_is_no_text_to_image_pipeline(copied, pipeline, message):
    index = copied / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"_class_name": pipeline}))
    with pytest.raises(UsageError, match=message):
        load(copied)


def test_pickled_weights(copied):
    weights = copied / "vae" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(UsageError, match="Only safetensors"):
        load(copied)


def test_16_bit_weight_files_alone(copied, model):
    (before,) = load(copied).make(ask(["a cat"], [""], [1]))
    for weights in copied.glob("*/*.safetensors"):
        weights.rename(weights.with_suffix(".fp16.safetensors"))
    (after,) = load(copied).make(ask(["a cat"], [""], [1]))
    assert np.array_equal(before.pixels, after.pixels)


def test_a_lora_changes_the_images(model, tmp_path):
    lora = tiny_models.make_lora(tmp_path / "lora", model("sd"))
    (plain,) = load(model("sd")).make(ask(["a cat"], [""], [1]))
    (changed,) = load(model("sd"), lora=str(lora)).make(ask(["a cat"], [""], [1]))
    (again,) = load(model("sd"), lora=str(lora)).make(ask(["a cat"], [""], [1]))
    assert not np.array_equal(plain.pixels, changed.pixels)
    assert np.array_equal(changed.pixels, again.pixels)


@pytest.mark.parametrize("family", ["sdxl", "sd3", "flux"])
def test_a_lora_for_another_model(model, tmp_path, family):
    lora = tiny_models.make_lora(tmp_path / "lora", model("sd"))
    with pytest.raises(UsageError, match="doesn't fit"):
        load(model(family), lora=str(lora))


def test_a_damaged_lora(model, tmp_path):
    lora = tiny_models.make_lora(tmp_path / "lora", model("sd"))
    file = next(lora.iterdir())
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(RunError, match="is damaged"):
        load(model("sd"), lora=str(lora))


def test_a_lora_without_peft(model, tmp_path, monkeypatch):
    lora = tiny_models.make_lora(tmp_path / "lora", model("sd"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RunError, match="needs the package peft"):
        load(model("sd"), lora=str(lora))
