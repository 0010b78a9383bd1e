"""`synfill predict`, on a network that was never trained."""

import json
import subprocess
import sys

import numpy as np
import pytest
from classifier_fixtures import make_spec
from PIL import Image

from synfill.classifier.load import load_classifier
from synfill.classifier.save import save_classifier
from synfill.training.network.model import build_model

CLASSES = ("cat", "[bold]dog", "eel", "fox", "gnu")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "model"
    spec = make_spec(CLASSES, 16)
    save_classifier(folder, build_model(spec.model, len(CLASSES), 16, seed=0), spec, {})
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


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """A balanced folder: real and synthetic test images, one without a label, one of a class that
    the classifier doesn't know.
    """
    from datasets import ClassLabel, Dataset, Features, Value
    from datasets import Image as ImageFeature

    names = ["gnu", "cat", "zebra"]
    features = Features(
        {
            "image": ImageFeature(), "kind": ClassLabel(names=names),
            "place": ClassLabel(names=["land", "water"]), "synthetic": Value("bool"),
            "prompt": Value("string"), "seed": Value("int64"), "generator": Value("string"),
        }
    )  # fmt: skip
    generator = np.random.default_rng(3)
    rows = []
    for number in range(24):
        levels = generator.integers(0, 256, (20, 20, 3), dtype=np.uint8)
        made = number % 3 == 0
        label = None if number == 22 else 2 if number == 23 else number % 2
        rows.append((Image.fromarray(levels), label, number % 2, made, "a" if made else None,
                     1 if made else None, "sd" if made else None))  # fmt: skip
    columns = dict(zip(features, map(list, zip(*rows, strict=True)), strict=True))
    folder = tmp_path_factory.mktemp("balanced")
    (folder / "data").mkdir()
    table = Dataset.from_dict(columns, features=features)
    table.to_parquet(folder / "data" / "test-00000-of-00001.parquet")
    table.select(range(5)).to_parquet(folder / "data" / "train-00000-of-00001.parquet")
    return folder


def expected_of(model, dataset):
    """label, synthetic, predicted of each row, from the classifier itself."""
    import pyarrow.parquet as pq

    table = pq.read_table(dataset / "data/test-00000-of-00001.parquet").to_pylist()
    classifier = load_classifier(model)
    rows = classifier.predict([row["image"]["bytes"] for row in table])
    names = ["gnu", "cat", "zebra"]
    return [
        (names[row["kind"]] if row["kind"] is not None else "", row["synthetic"],
         CLASSES[found.argmax()])
        for row, found in zip(table, rows, strict=True)
    ]  # fmt: skip


def test_a_dataset_gives_its_accuracy(cli, model, dataset, tmp_path):
    known = [row for row in expected_of(model, dataset) if row[0] in CLASSES]
    out = tmp_path / "said.csv"
    ran = cli("predict", model, dataset, "--json", "--output", out, "--batch-size", 5)
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert (found["split"], found["images"], found["unlabelled"]) == ("test", 24, 1)
    assert found["unknown_classes"] == {"zebra": 1} and found["counted"]["all"] == len(known) == 22
    for kind, chosen in (
        ("all", known),
        ("real", [row for row in known if not row[1]]),
        ("synthetic", [row for row in known if row[1]]),
    ):
        share = np.mean([label == said for label, _, said in chosen])
        assert found["accuracy"][kind] == pytest.approx(share) and found["counted"][kind] == len(
            chosen
        )
    by_name = {entry["class"]: entry for entry in found["per_class"]}
    cats = [row for row in known if row[0] == "cat"]
    assert by_name["cat"]["images"]["all"] == len(cats)
    assert by_name["cat"]["accuracy"]["all"] == pytest.approx(
        np.mean([label == said for label, _, said in cats])
    )
    assert by_name["eel"]["accuracy"]["all"] is None
    header, *lines = out.read_text().splitlines()
    assert header == "file,class,probability,label,synthetic" and len(lines) == 24
    told = [(line.split(",")[3], line.endswith("true"), line.split(",")[1]) for line in lines]
    assert told == expected_of(model, dataset)
    assert "aren't counted" in ran.err and "zebra (1)" in ran.err and "no label" in ran.err


def test_a_dataset_as_tables(cli, model, dataset):
    ran = cli("predict", model, dataset)
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert lines[0].endswith("split test: 24 images")
    assert [line.split()[0] for line in lines[2:5]] == ["all", "real", "synthetic"]
    assert any(line.startswith("cat ") for line in lines)
    train = cli("predict", model, dataset / "data" / "train-00000-of-00001.parquet")
    assert train.code == 0 and "5 images" in train.out
    assert cli("predict", model, dataset, "--split", "nope").code == 2


def test_classes_that_the_classifier_does_not_know(cli, model, dataset):
    ran = cli("predict", model, dataset, "--label", "place")
    assert ran.code == 0 and "doesn't know: water (12), land (12)" in " ".join(
        ran.err.split()
    ).replace("land (12), water (12)", "water (12), land (12)")
    assert "accuracy" not in ran.out


def test_a_folder_with_a_folder_for_each_class_is_a_dataset(cli, model, photos, tmp_path):
    tree = tmp_path / "tree"
    for number, name in enumerate(("cat/1.png", "cat/2.png", "gnu/3.png")):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        levels = np.random.default_rng(number).integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(levels).save(tree / name)
    (tree / "gnu" / "4.png").write_bytes(b"no image")
    ran = cli("predict", model, tree, "--json")
    assert ran.code == 1 and "gnu/4.png: not an image" in ran.err
    found = json.loads(ran.out)
    assert (found["images"], found["bad"], found["counted"]["all"]) == (3, 1, 3)
    assert found["counted"]["synthetic"] == 0 and found["accuracy"]["synthetic"] is None
    more = cli("predict", model, tree, photos)
    assert more.code == 2 and "is a dataset, and more was given" in more.err
    assert cli("predict", model, tree, "--top", 2).code == 2


def test_a_table_of_labels_is_a_dataset(cli, model, tmp_path):
    root = tmp_path / "tree"
    root.mkdir()
    rows = [("1.png", "cat"), ("2.png", "cat"), ("3.png", "gnu")]
    for number, (name, _) in enumerate(rows):
        levels = np.random.default_rng(number).integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(levels).save(root / name)
    lines = "".join(f"{name},{label}\n" for name, label in rows)
    (root / "labels.csv").write_text(f"file,animal\n{lines}")
    for given in (root, root / "labels.csv"):
        ran = cli("predict", model, given, "--json")
        assert ran.code == 0, ran.err
        assert json.loads(ran.out)["counted"]["all"] == 3


def test_lines_of_image_files(cli, model, photos, tmp_path):
    ran = cli("predict", model, photos, "--output", tmp_path / "x.csv")
    assert ran.code == 0 and not ran.out and "4 lines written" in ran.err
    header, *lines = (tmp_path / "x.csv").read_text().splitlines()
    assert header == "file,class,probability" and len(lines) == 4
    assert cli("predict", model, photos, "--output", tmp_path / "x.txt").code == 2
    wrong = cli("predict", model, photos / "a.webp", "--split", "test")
    assert wrong.code == 2 and "--split says something of a dataset" in wrong.err


def test_help_needs_no_torch():
    program = (
        "import sys; from synfill.cli.app import main\n"
        "sys.argv = ['synfill', 'predict', '--help']\n"
        "try:\n    main()\n"
        "except SystemExit:\n    assert 'torch' not in sys.modules\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.returncode == 0 and "OUT/seed-0/model" in ran.stdout, ran.stderr
