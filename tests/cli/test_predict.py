"""`synfill predict`, on a network that was never trained."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from synfill.training.classifier import load_classifier, save_classifier
from synfill.training.model import build_model
from synfill.training.settings import ModelSettings

CLASSES = ("cat", "[bold]dog", "eel", "fox", "gnu")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "model"
    settings = ModelSettings(name="resnet8")
    network = build_model(settings, len(CLASSES), 16, seed=0)
    half = (0.5, 0.5, 0.5)
    save_classifier(folder, network, settings, CLASSES, 16, half, half, {})
    return folder


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    for number, name in enumerate(("b/img10.png", "b/img2.jpg", "a.webp", "[red]x.png")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        levels = np.random.default_rng(number).integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(levels).save(folder / name)
    (folder / "notes.txt").write_text("no image")
    return folder


def test_json(cli, model, photos):
    ran = cli("predict", model, photos, photos / "a.webp", "--json")
    assert ran.code == 0 and not ran.err, ran.err
    found = json.loads(ran.out)
    names = ["[red]x.png", "a.webp", "b/img2.jpg", "b/img10.png", "a.webp"]
    assert [item["file"] for item in found] == [str(photos / name) for name in names]
    expected = load_classifier(model).predict([photos / name for name in names])
    for item, row in zip(found, expected, strict=True):
        assert item["probabilities"] == {
            CLASSES[k]: pytest.approx(float(row[k]), abs=1e-6) for k in range(5)
        }
        assert item["class"] == CLASSES[row.argmax()]
        assert item["probability"] == max(item["probabilities"].values())
    ran = cli("predict", model, photos / "a.webp", "--json", "--top", 2)
    assert len(json.loads(ran.out)[0]["probabilities"]) == 2


def test_table(cli, model, photos):
    ran = cli("predict", model, photos)
    assert ran.code == 0 and not ran.err, ran.err
    header, *lines = ran.out.splitlines()
    assert header.split() == ["file", "class", "probability", "then"]
    best = load_classifier(model).predict([photos / "a.webp"])[0].argsort()[::-1]
    (line,) = (line for line in lines if "a.webp" in line)
    assert all(CLASSES[k] in line for k in best[:3])
    assert any("[red]x.png" in line for line in lines) and len(lines) == 4
    one = cli("predict", model, photos / "a.webp", "--top", 1, "--batch-size", 1).out
    assert "then" not in one and one.count("%") == 1


def test_bad_images_are_told_and_the_rest_is_shown(cli, model, photos):
    (photos / "b" / "bad.png").write_bytes(b"no image")
    ran = cli("predict", model, photos, photos / "notes.txt", "--json")
    assert ran.code == 1 and len(json.loads(ran.out)) == 4
    assert ran.err.splitlines() == [
        f"{photos / 'b' / 'bad.png'}: not an image",
        f"{photos / 'notes.txt'}: not an image",
    ]
    ran = cli("predict", model, photos / "notes.txt")
    assert ran.code == 1 and not ran.out


def test_nothing_to_predict(cli, model, photos, tmp_path):
    (tmp_path / "empty").mkdir()
    ran = cli("predict", model, tmp_path / "empty")
    assert ran.code == 2 and "no image" in ran.err
    ran = cli("predict", model, photos, tmp_path / "none.png")
    assert ran.code == 2 and "none.png" in ran.err
    assert cli("predict", model).code == 2
    ran = cli("predict", tmp_path / "empty", photos)
    assert ran.code == 2 and "no classifier of synfill" in ran.err


def test_a_progress_line_for_many(cli, model, photos):
    ran = cli("predict", model, photos, "--batch-size", 2)
    assert ran.code == 0 and "Predicting: 4 of 4" in ran.err
    assert not cli("predict", model, photos, "--batch-size", 2, "-q").err


def test_help_needs_no_torch():
    program = (
        "import sys; from synfill.cli.app import main\n"
        "sys.argv = ['synfill', 'predict', '--help']\n"
        "try:\n    main()\n"
        "except SystemExit:\n    assert 'torch' not in sys.modules\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.returncode == 0 and "OUT/seed-0/model" in ran.stdout, ran.stderr
