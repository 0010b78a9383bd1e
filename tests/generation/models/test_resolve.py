from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
from pydantic import ValidationError

from synfill.config.generator import GeneratorSettings
from synfill.errors import RunError, UsageError
from synfill.generation.models.folder import check_weights, fingerprint_model, read_model_folder
from synfill.generation.models.lora import lora_file
from synfill.generation.models.resolve import resolve_model


def resolve(model, **settings):
    return resolve_model(GeneratorSettings(model=str(model), device="cpu", **settings))


@pytest.fixture
def copied(model, tmp_path):
    """A copy of the small Stable Diffusion model, to be spoilt."""
    return shutil.copytree(model("sd"), tmp_path / "model")


def change(file, **values):
    content = json.loads(file.read_text()) | values
    file.write_text(json.dumps(content))


def test_a_local_model_is_described_by_its_files(copied):
    found = resolve(copied)
    assert (found.id, found.source, found.is_local) == ("model", str(copied), True)
    assert found.revision == fingerprint_model(copied)
    assert (found.family, found.pipeline) == ("sd", "StableDiffusionPipeline")
    assert (found.steps, found.guidance_scale, found.size) == (30, 7.5, (64, 64))
    assert (found.dtype, found.device, found.scheduler) == ("float32", "cpu", None)
    assert found.negative_prompts and not found.flow
    info = found.info()
    assert (info.id, info.is_local, info.licence) == ("model", True, "")


@pytest.mark.parametrize(
    ("family", "flow", "length"), [("sdxl", False, None), ("sd3", True, 256), ("flux", True, 512)]
)
def test_the_other_families(model, family, flow, length):
    found = resolve(model(family))
    assert (found.family, found.flow, found.max_sequence_length) == (family, flow, length)
    assert found.size == (64, 64)


def test_settings_win(copied):
    found = resolve(
        copied, steps=7, guidance_scale=1.0, size="32x40", scheduler="ddim", dtype="bf16"
    )
    assert (found.steps, found.size, found.scheduler) == (7, (32, 40), "ddim")
    assert found.dtype == "bfloat16"
    assert not found.negative_prompts


def test_the_identity_does_not_say_where_the_model_lies(copied, tmp_path):
    moved = shutil.copytree(copied, tmp_path / "elsewhere" / "model")
    assert resolve(copied).identity() == resolve(moved).identity()
    assert json.loads(json.dumps(resolve(copied).identity())) == resolve(copied).identity()
    assert resolve(copied, steps=3).identity() != resolve(copied).identity()


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: mit\n---\nText", "mit"),
        ("---\nlicense: other\nlicense_name: my-own\n---\n", "my-own"),
        ("---\ntags: [\n---\n", ""),
        ("# No front matter", ""),
    ],
)
def test_the_licence_is_the_cards(copied, card, licence):
    (copied / "README.md").write_text(card)
    assert resolve(copied).licence == licence


def test_the_fingerprint_sees_content_names_and_both_ends_of_big_files(copied):
    prints = {fingerprint_model(copied)}
    big = copied / "big.safetensors"
    for position in (0, 3 << 20, None):
        content = bytearray(4 << 20)
        if position is not None:
            content[position] = 1
        big.write_bytes(content)
        prints.add(fingerprint_model(copied))
    big.rename(copied / "bigger.safetensors")
    prints.add(fingerprint_model(copied))
    assert len(prints) == 5
    before = fingerprint_model(copied)
    (copied / ".cache").mkdir()
    (copied / ".cache" / "lock").write_text("x")
    assert fingerprint_model(copied) == before


@pytest.mark.parametrize("name", ["sdx", "no such thing", "a/b/c", "/no/where", "~/no"])
def test_what_is_no_model_at_all(name):
    with pytest.raises(UsageError, match="no short name, no folder, and no Hub id") as caught:
        resolve(name)
    assert "sdxl" in caught.value.hint


def test_a_folder_without_a_pipeline(tmp_path):
    with pytest.raises(UsageError, match=r"no model_index\.json"):
        resolve(tmp_path)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(UsageError) as caught:
        resolve(tmp_path)
    assert "from_single_file" in caught.value.hint


def test_code_of_its_own_is_never_run(copied):
    index = copied / "model_index.json"
    change(index, unet=["my_unet", "MyUNet"])
    (copied / "unet" / "my_unet.py").write_text("raise SystemExit('it was run')")
    with pytest.raises(UsageError, match="brings code of its own"):
        resolve(copied)
    change(index, _class_name=["pipeline", "MyPipeline"])
    with pytest.raises(UsageError, match="brings code of its own"):
        resolve(copied)


def test_broken_configuration(copied):
    (copied / "unet" / "config.json").write_text("{")
    with pytest.raises(RunError, match=r"unet.config\.json is broken"):
        resolve(copied)
    (copied / "model_index.json").write_text("{}")
    with pytest.raises(RunError, match="names no pipeline class"):
        resolve(copied)


def test_pickled_weights_are_refused(copied):
    weights = copied / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(UsageError, match="unet only as pickled weights"):
        check_weights(read_model_folder(copied, "model"), "model")
    weights.with_suffix(".bin").unlink()
    with pytest.raises(RunError, match="no weights in unet/"):
        check_weights(read_model_folder(copied, "model"), "model")


def test_weights_in_16_bit_files_alone_are_found(copied):
    assert check_weights(read_model_folder(copied, "model"), "model") is None
    for weights in copied.glob("*/*.safetensors"):
        weights.rename(weights.with_suffix(".fp16.safetensors"))
    assert check_weights(read_model_folder(copied, "model"), "model") == "fp16"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": "60x64"}, "multiples of 8"),
        ({"size": "0x64"}, "multiples of 8"),
        ({"scheduler": "dpm"}, "no scheduler"),
        ({"revision": "main"}, "no revisions"),
        ({"offload": True}, "no GPU"),
        ({"lora": "nowhere"}, "no LoRA"),
    ],
)
def test_settings_that_cannot_be(copied, settings, message):
    with pytest.raises(UsageError, match=message):
        resolve(copied, **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"steps": 0},
        {"guidance_scale": -1.0},
        {"guidance_scale": float("nan")},
        {"dtype": "int8"},
    ],
)
def test_settings_that_no_model_takes(settings):
    with pytest.raises(ValidationError, match=next(iter(settings))):
        GeneratorSettings(**settings)


@pytest.mark.parametrize(
    ("wanted", "device", "dtype"),
    [
        ("auto", "cpu", "float32"),
        ("auto", "cuda:1", "bfloat16"),
        ("auto", "mps", "float16"),
        ("fp16", "cpu", "float16"),
        ("float32", "cuda", "float32"),
    ],
)
def test_the_number_type(model, monkeypatch, wanted, device, dtype):
    monkeypatch.setattr("synfill.generation.models.resolve.find_device", lambda name: device)
    monkeypatch.setattr("synfill.generation.models.resolve.has_bfloat16", lambda name: True)
    assert resolve(model("sd3"), dtype=wanted).dtype == dtype


def test_the_nearest_size_is_named(copied):
    with pytest.raises(UsageError) as caught:
        resolve(copied, size="60x64")
    assert "64 x 64" in caught.value.hint


def test_a_lora_is_one_safetensors_file(tmp_path):
    with pytest.raises(UsageError, match="none"):
        lora_file(tmp_path)
    one = tmp_path / "one.safetensors"
    one.write_bytes(b"1")
    assert lora_file(tmp_path) == one == lora_file(one)
    (tmp_path / "two.safetensors").touch()
    with pytest.raises(UsageError, match=r"one\.safetensors, two\.safetensors"):
        lora_file(tmp_path)
    usual = tmp_path / "pytorch_lora_weights.safetensors"
    usual.touch()
    assert lora_file(tmp_path) == usual
    (tmp_path / "lora.bin").touch()
    with pytest.raises(UsageError, match="can run code"):
        lora_file(tmp_path / "lora.bin")


def test_the_loras_content_is_part_of_the_identity(copied, tmp_path):
    file = tmp_path / "lora.safetensors"
    file.write_bytes(b"1")
    one = resolve(copied, lora=str(file)).identity()
    file.write_bytes(b"2")
    assert one != resolve(copied, lora=str(file)).identity()


def test_resolving_imports_neither_torch_nor_diffusers(model):
    code = (
        "import sys\n"
        "from synfill.config.generator import GeneratorSettings\n"
        "from synfill.generation.models.resolve import resolve_model\n"
        "import synfill.generation.fill.local, synfill.generation.fill.fill\n"
        "import synfill.generation.pipeline.rates\n"
        f"resolve_model(GeneratorSettings(model={str(model('sd'))!r}, device='cpu'))\n"
        "assert not {'torch', 'diffusers', 'transformers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
