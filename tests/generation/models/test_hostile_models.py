"""Model folders of strangers: told for what they are, without waiting and without reading on."""

import json
import os
import shutil

import pytest
from fuzzing.checking import time_limit
from fuzzing.odd import DEEP_JSON, HOSTILE_HEADERS, ODD_VALUES

from synfill.config.generator import GeneratorSettings
from synfill.errors import SynfillError
from synfill.generation.models.resolve import resolve_model
from synfill.generation.pipeline.generator import load_generator

CONFIGS = ["model_index.json", "unet/config.json", "vae/config.json",
           "scheduler/scheduler_config.json"]  # fmt: skip


@pytest.fixture
def model(sd_model, tmp_path):
    return shutil.copytree(sd_model, tmp_path / "model")


def resolve(model):
    with time_limit(20):
        return resolve_model(GeneratorSettings(model=str(model), device="cpu"))


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("content", [DEEP_JSON, "[]", "3", "{", "\x00", None, 0])
def test_configurations_that_are_none(model, name, content):
    path = model / name
    path.unlink()
    if content is None:
        os.mkfifo(path)
    elif content == 0:
        path.symlink_to("/dev/zero")
    else:
        path.write_text(content)
    with pytest.raises(SynfillError, match=path.name):
        resolve(model)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("unet/config.json", "sample_size", 10**12),
        ("unet/config.json", "sample_size", "64"),
        ("unet/config.json", "sample_size", [1, 2, 3]),
        ("unet/config.json", "sample_size", -1),
        ("unet/config.json", "sample_size", True),
        ("vae/config.json", "block_out_channels", 3),
        ("vae/config.json", "block_out_channels", list(range(1, 100_000))),
        ("vae/config.json", "block_out_channels", [None]),
    ],
)
def test_sizes_that_are_none_are_named(model, name, key, value):
    config = json.loads((model / name).read_text())
    (model / name).write_text(json.dumps(config | {key: value}))
    with pytest.raises(SynfillError, match=rf"{name} is broken: '{key}' can't be"):
        resolve(model)


@pytest.mark.parametrize("header", HOSTILE_HEADERS, ids=range(len(HOSTILE_HEADERS)))
def test_a_hostile_card_doesnt_matter(model, header):
    (model / "README.md").write_text(f"---\n{header}\n---\n")
    assert isinstance(resolve(model).licence, str)


def test_a_card_that_is_a_pipe(model):
    os.mkfifo(model / "README.md")
    assert resolve(model).licence == ""


PARTS = [*ODD_VALUES[:12], ["os", "system"], ["diffusers", "x"], ["a"] * 2]


@pytest.mark.parametrize("part", ["_class_name", "unet", "tokenizer", "scheduler", "x/../y"])
@pytest.mark.parametrize("value", PARTS, ids=range(len(PARTS)))
def test_odd_parts(model, part, value):
    index = json.loads((model / "model_index.json").read_text())
    (model / "model_index.json").write_text(json.dumps(index | {part: value}))
    try:
        with time_limit(30):
            load_generator(resolve(model))
    except SynfillError as error:
        assert str(error)
