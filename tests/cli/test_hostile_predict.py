"""Classifiers and images of strangers, through `synfill predict`; and prompts files."""

import json
import os
import shutil

import pytest
from classifier_fixtures import make_spec
from datasets_fixtures import image_bytes, make_imagefolder
from fuzzing.checking import time_limit
from fuzzing.odd import BROKEN_IMAGES, DEEP_JSON, HOSTILE_HEADERS
from fuzzing.strategies import mutated
from hypothesis import HealthCheck, given, settings

from synfill.classifier.load import load_classifier
from synfill.classifier.save import save_classifier
from synfill.errors import SynfillError
from synfill.training.network.model import build_model


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "model"
    spec = make_spec(("a", "b"), 16)
    save_classifier(folder, build_model(spec.model, 2, 16, seed=0), spec, {})
    return folder


@pytest.fixture
def model(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "model")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("kind", ["pipe", "zero", "deep", "folder", "bytes"])
def test_files_that_are_none(cli, model, name, kind, tmp_path):
    path = model / name
    path.unlink()
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "zero":
            path.symlink_to("/dev/zero")
        case "deep":
            path.write_text(DEEP_JSON)
        case "folder":
            path.mkdir()
        case "bytes":
            path.write_bytes(b"\xff\0" * 10)
    (tmp_path / "1.png").write_bytes(image_bytes(1))
    with time_limit(30):
        ran = cli("predict", model, "1.png")
    assert ran.code in (1, 2) and name in ran.err and "mistake in synfill" not in ran.err


def test_odd_configurations(trained, tmp_path):
    content = json.loads((trained / "config.json").read_text())

    @settings(
        max_examples=60,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(config=mutated(content))
    def run(config):
        folder = shutil.copytree(trained, tmp_path / "model", dirs_exist_ok=True)
        (folder / "config.json").write_text(json.dumps(config))
        with time_limit(30):
            try:
                load_classifier(folder, device="cpu").predict([image_bytes(1)])
            except SynfillError as error:
                assert str(error)

    run()


def test_odd_images(cli, model, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number, data in enumerate([image_bytes(0), *BROKEN_IMAGES]):
        (folder / f"{number}.png").write_bytes(data)
    (folder / "\udcff.png").write_bytes(image_bytes(1))
    os.mkfifo(folder / "pipe.png")
    (folder / "zero.png").symlink_to("/dev/zero")
    with time_limit(30):
        ran = cli("predict", model, folder, "--json")
    assert ran.code == 1 and "mistake in synfill" not in ran.err
    assert "pipe.png: it is a pipe" in ran.err and "zero.png: it is a device" in ran.err
    assert len(json.loads(ran.out)) + ran.err.count("\n") == len(BROKEN_IMAGES) + 4


@pytest.mark.parametrize("header", [*HOSTILE_HEADERS, None, 0], ids=range(len(HOSTILE_HEADERS) + 2))
def test_prompts_files(cli, tmp_path, sd_model, header):
    source = make_imagefolder(tmp_path / "source", {"a": 1, "b": 2})
    if header is None:
        os.mkfifo(tmp_path / "p.yaml")
    elif header == 0:
        (tmp_path / "p.yaml").symlink_to("/dev/zero")
    else:
        (tmp_path / "p.yaml").write_text(header)
    with time_limit(20):
        ran = cli("balance", source, "--prompts", "p.yaml", "--model", sd_model, "--dry-run")
    assert ran.code == 2 and "p.yaml" in ran.err
