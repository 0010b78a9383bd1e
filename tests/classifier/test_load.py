"""Classifiers written to disk and read again, from a folder and from the Hub's cache."""

import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from classifier_fixtures import make_spec
from PIL import Image
from safetensors.torch import load_file, save_file

from synfill.classifier.load import load_classifier
from synfill.classifier.predict import Classifier
from synfill.classifier.save import save_classifier
from synfill.config.recipes.settings import ModelSettings
from synfill.data.images import decode
from synfill.errors import RunError, UsageError
from synfill.training.augment.augmenter import plain
from synfill.training.images.decoding import Decoder, stored_side
from synfill.training.network.model import build_model

CLASSES = ("cat", "dog", "égo/ñ")
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def save(folder, name="resnet8", image_size=32, classes=CLASSES):
    spec = make_spec(classes, image_size, MEAN, STD, name)
    model = build_model(spec.model, len(classes), image_size, seed=0)
    # Statistics that differ from those of a new network, so that their loss would show.
    for key, buffer in model.named_buffers():
        if key.endswith("running_mean"):
            buffer.copy_(torch.linspace(0, 1, len(buffer)))
    extra = {"seed": 0, "recipe": "demo"}
    save_classifier(folder, model, spec, extra)
    return model.eval()


@pytest.fixture
def folder(tmp_path):
    save(tmp_path / "seed-0" / "model")
    return tmp_path / "seed-0" / "model"


def picture(size=(40, 30), seed=0, format="PNG", **options):
    levels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(levels).save(file, format, **options)
    return file.getvalue()


def change(folder, **values):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))


@pytest.mark.parametrize("size", [32, 70])
def test_predicts_as_training_evaluates(tmp_path, size):
    """The images of a run go through the same decoder and the same `plain`."""
    model = save(tmp_path, image_size=size)
    files = [picture(seed=1), picture((300, 90), seed=2, format="JPEG")]
    stored = torch.stack([Decoder(stored_side(size), decode)(data) for data in files])
    with torch.no_grad():
        expected = model(plain(stored, make_spec(CLASSES, size, MEAN, STD))).softmax(dim=1).numpy()
    classifier = load_classifier(tmp_path, device="cpu")
    probabilities = classifier.predict(files)
    assert probabilities.dtype == np.float32 and probabilities.shape == (2, 3)
    assert np.array_equal(probabilities, expected)
    assert np.allclose(probabilities.sum(axis=1), 1)
    assert np.allclose(classifier.predict(files, batch_size=1), expected, atol=1e-6)
    assert classifier.classes == CLASSES and classifier.extra == {"seed": 0, "recipe": "demo"}
    assert classifier.image_size == size and not classifier.network.training


def test_takes_paths_bytes_and_images_of_pillow(folder, tmp_path):
    data = picture(seed=3)
    (tmp_path / "a.png").write_bytes(data)
    image = Image.open(io.BytesIO(data))
    inputs = [data, tmp_path / "a.png", str(tmp_path / "a.png"), image]
    rows = load_classifier(str(folder)).predict(inputs)
    assert np.allclose(rows, rows[0], atol=1e-6)
    turned = Image.Exif()
    turned[0x0112] = 6
    data = picture(seed=4, exif=turned)
    first, second = load_classifier(folder).predict([data, Image.open(io.BytesIO(data))])
    assert np.allclose(first, second, atol=1e-6)
    grey = [Image.new(mode, (9, 9), 77) for mode in ("L", "P", "I;16", "CMYK", "RGBA")]
    assert load_classifier(folder).predict(grey).shape == (5, 3)
    assert load_classifier(folder).predict([]).shape == (0, 3)
    with pytest.raises(UsageError, match="takes a list"):
        load_classifier(folder).predict("a.png")


def test_bad_images(folder, tmp_path):
    classifier = load_classifier(folder)
    whole = picture()
    images = [whole, b"", b"no image", whole[:200], tmp_path / "none.png", tmp_path, whole]
    results = list(classifier.predict_each(images, batch_size=3))
    assert [isinstance(result, str) for result in results] == [False, *[True] * 5, False]
    assert results[1] == "empty file" and results[4] == "No such file or directory"
    assert np.allclose(results[0], results[6], atol=1e-6)
    with pytest.raises(RunError, match="Image 2 can't be used: not an image"):
        classifier.predict([whole, whole, b"no image"])
    with pytest.raises(RunError, match=r"Image 0 \(.*none.png\)"):
        classifier.predict([tmp_path / "none.png"])


def test_what_is_written(folder):
    assert sorted(os.listdir(folder)) == ["config.json", "model.safetensors"]
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config["model"] == {"name": "resnet8", "pretrained": False}
    assert config["classes"] == list(CLASSES) and config["format_version"] == 1
    assert (config["image_size"], config["stored_size"]) == (32, 32)
    weights = load_file(folder / "model.safetensors")
    assert weights["fc.weight"].shape == (3, 64)
    before = (folder / "model.safetensors").read_bytes()
    save(folder)
    assert (folder / "model.safetensors").read_bytes() == before


def test_tied_weights(tmp_path):
    """Networks may hold one tensor under two names, and tensors that are views of others."""
    model = build_model(ModelSettings(name="resnet8"), 3, 32, seed=0)
    model.layer1[0].conv2.weight = model.layer1[0].conv1.weight
    model.fc.weight = torch.nn.Parameter(torch.rand(64, 3).t())
    save_classifier(tmp_path, model, make_spec(CLASSES, 32, MEAN, STD), {})
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        found, expected = load_classifier(tmp_path).network(images), model.eval()(images)
    torch.testing.assert_close(found, expected)


def test_torchs_random_numbers_stay_as_they_are(folder):
    state = torch.get_rng_state()
    load_classifier(folder).predict([picture()])
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("spoil", "kind", "message", "hint"),
    [
        (shutil.rmtree, UsageError, "neither a folder nor owner/name", "OUT/seed-0/model"),
        (lambda f: (f / "config.json").unlink(), UsageError, "there is no config.json", "OUT"),
        (
            lambda f: (f / "config.json").write_text('{"model_type": "bert"}'),
            UsageError, "its config.json is of something else", "synfill train",
        ),
        (lambda f: (f / "config.json").write_text("[1]"), UsageError, "something else", ""),
        (lambda f: (f / "config.json").write_text('{"a'), RunError, "is damaged", "again"),
        (lambda f: change(f, format_version=2), RunError, "by a newer synfill", "--upgrade"),
        (lambda f: change(f, classes="cat"), RunError, "is damaged: classes", "again"),
        (lambda f: change(f, std=[1, 1, 0]), RunError, r"is damaged: std\.2", "again"),
        (lambda f: change(f, classes=["a", "b"]), RunError, "don't fit resnet8 with 2", "again"),
        (lambda f: change(f, model={"name": "resnet14"}), RunError, "don't fit resnet14", ""),
        (lambda f: change(f, model={"name": "os.system"}), UsageError, "no network", "Known"),
        (lambda f: (f / "model.safetensors").unlink(), RunError, "holds no weights", "again"),
        (lambda f: os.truncate(f / "model.safetensors", 5000), RunError, "is damaged", "again"),
        (
            lambda f: save_file({"x": torch.zeros(1)}, f / "model.safetensors"),
            RunError, "or belongs to another", "again",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_loaded(folder, spoil, kind, message, hint):
    spoil(folder)
    with pytest.raises(kind, match=message) as raised:
        load_classifier(folder)
    assert hint in raised.value.hint


def test_wrong_folders(folder, monkeypatch):
    run = folder.parents[1]
    with pytest.raises(UsageError, match=r"there is no config\.json") as raised:
        load_classifier(run)
    assert raised.value.hint == f"Did you mean {folder}?"
    with pytest.raises(UsageError, match="is no folder"):
        load_classifier(folder / "config.json")
    with pytest.raises(UsageError, match="no revisions"):
        load_classifier(folder, revision="main")
    with pytest.raises(UsageError, match="There is no device 'tpu'"):
        load_classifier(folder, device="tpu")
    monkeypatch.chdir(run)
    with pytest.raises(RunError, match=r"no folder 'seed-1/model'.*not in the local cache"):
        load_classifier("seed-1/model")


def test_from_the_hub(folder, monkeypatch, tmp_path):
    """From the cache, as huggingface_hub lays it out: the tests run with HF_HUB_OFFLINE=1."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    repo = tmp_path / "cache" / "models--alice--pets"
    shutil.copytree(folder, repo / "snapshots" / COMMIT)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(COMMIT)
    expected = load_classifier(folder).predict([picture()])
    for source in ("alice/pets", "alice/pets@main", f"alice/pets@{COMMIT}"):
        classifier = load_classifier(source)
        assert isinstance(classifier, Classifier)
        assert np.array_equal(classifier.predict([picture()]), expected)
    assert load_classifier("alice/pets", revision="main").classes == CLASSES
    with pytest.raises(RunError, match=r"no folder 'alice/pets@v2'.*not in the local cache"):
        load_classifier(Path("alice/pets@v2"))
