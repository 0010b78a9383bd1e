"""Folders as people have them, end to end: analyze, balance and a recipe's data."""

import json

import datasets
import pytest
from datasets_fixtures import make_files, make_tree, write_csv

import synfill
from synfill.config.recipes.read import read_recipe
from synfill.training.identity import recipe_identity
from synfill.training.images.parts import open_parts

CLASSES = {"cat": 5, "dog": 2}
HALVES = [("cat", 3), ("dog", 2), ("cat", 2)]


def wrapped(root):
    folders = {f"x/{s}/{c}": n for s in ("train", "test") for c, n in CLASSES.items()}
    return make_tree(root, folders), []


def class_above_split(root):
    return make_tree(
        root, {f"{c}/{s}": n for c, n in CLASSES.items() for s in ("train", "test")}
    ), []


def two_levels(root):
    folders = {f"{s}/p{k}/{c}": n for s in ("train", "test") for k, (c, n) in enumerate(HALVES)}
    return make_tree(root, folders), ["--layout", "split/*/class"]


def _rows(folder, ending):
    return [(f"{folder}{c}{k}{ending}", c) for c, n in CLASSES.items() for k in range(n)]


def _images(root, *folders):
    return make_files(root, [name for f in folders for name, _ in _rows(f"{f}/", ".png")])


def kaggle(root):
    _images(root, "train_images", "test_images")
    write_csv(root / "train.csv", ["id", "breed"], _rows("", ""))
    return root, []


def split_tables(root):
    _images(root, "images")
    make_files(root, [f"images/t-{name}" for name, _ in _rows("", ".png")])
    write_csv(root / "train.csv", ["file", "breed"], _rows("", ".png"), delimiter=";")
    write_csv(root / "test.csv", ["file", "breed"], _rows("t-", ".png"), delimiter=";")
    return root, []


def one_hot(root):
    _images(root, "images")
    rows = [(name, int(c == "cat"), int(c == "dog")) for name, c in _rows("", "")]
    write_csv(root / "truth.csv", ["image", *CLASSES], rows)
    return root, []


def table_as_source(root):
    _images(root, "images")
    write_csv(
        root / "csv" / "labels.tsv",
        ["n", "a", "label"],
        [(n, k, c) for k, (n, c) in enumerate(_rows("", ".png"))],
        delimiter="\t",
    )
    return root / "csv" / "labels.tsv", ["--image-root", root / "images", "--file-column", "n"]


KINDS = [
    wrapped,
    class_above_split,
    two_levels,
    kaggle,
    split_tables,
    one_hot,
    table_as_source,
]


@pytest.mark.parametrize("make", KINDS)
def test_each_kind_is_analyzed_and_balanced(cli, tmp_path, make):
    source, options = make(tmp_path / "d")
    ran = cli("analyze", source, *options, "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["splits"]["train"]["class_counts"] == CLASSES
    for format in ("parquet", "imagefolder"):
        out = tmp_path / format
        ran = cli(
            "balance",
            source,
            *options,
            "--out",
            out,
            "--model",
            "demo",
            "--dry-run",
            "--format",
            format,
        )
        assert ran.code == 0, ran.err
        assert "a photo of a dog" in ran.out + ran.err


def test_a_table_is_balanced_with_a_real_pipeline(cli, tmp_path, sd_model):
    source, _ = kaggle(tmp_path / "d")
    command = (
        "balance",
        source / "train.csv",
        "--model",
        sd_model,
        "--steps",
        2,
        "--batch-size",
        4,
    )
    ran = cli(*command)
    assert ran.code == 0, ran.err
    assert "Labels come from train.csv, files from its column 'id'." in ran.err
    # The result lies beside the table, among the images, and is no data when it is read again.
    out = source / "train-balanced"
    train = datasets.load_dataset(str(out), cache_dir=str(tmp_path / "cache"))["train"]
    assert sorted(train["breed"]) == ["cat"] * 5 + ["dog"] * 5
    assert sum(train["synthetic"]) == 3
    (made,) = (out / "data").glob("train-*.parquet")
    written = made.stat().st_mtime_ns
    assert cli(*command).code == 0
    assert made.stat().st_mtime_ns == written
    found = json.loads(cli("analyze", source, "--json").out)["splits"]["train"]
    assert found["class_counts"] == CLASSES


def test_what_stays_unclear_stops_with_both_readings(cli, tmp_path):
    source, _ = two_levels(tmp_path / "d")
    for command in (("analyze", source), ("balance", source, "--model", "demo", "--dry-run")):
        ran = cli(*command)
        assert ran.code == 2
        assert "--layout 'split/class': classes p0 (6), p1 (4), p2 (4)" in ran.err
        assert "--layout 'split/*/class': classes cat (10), dog (4)" in ran.err
        assert ran.out == ""
    ran = cli("balance", source, "--layout", "class/class", "--model", "demo", "--dry-run")
    assert ran.code == 2 and "class and split at most once" in ran.err


def test_no_classes_are_told_with_what_was_looked_at(cli, tmp_path):
    source = make_tree(tmp_path / "d", {"images": 3})
    write_csv(source / "train.csv", ["id", "breed"], [("x", "cat"), ("y", "dog")])
    ran = cli("analyze", source)
    assert ran.code == 0
    assert "train.csv has no column that names images here: passed over." in ran.err
    assert "The images have no classes" in ran.err


RECIPE = """\
name: folders
data:
  train: {train}
{keys}
  image_size: 8
model: resnet8
stages:
  - {{data: real, epochs: 1, lr: 0.1, batch_size: 4}}
"""


def recipe(path, train, *keys):
    path.write_text(RECIPE.format(train=train, keys="\n".join(f"  {key}" for key in keys)))
    return path


def test_a_recipe_reads_them_too(cli, tmp_path):
    source, _ = two_levels(tmp_path / "levels")
    path = recipe(tmp_path / "recipe.yaml", source)
    ran = cli("train", path, "--out", "run")
    assert ran.code == 2
    assert "data.layout 'split/*/class': classes cat (10), dog (4)" in ran.err
    assert "--layout" not in ran.err
    ran = cli("train", path, "--out", "run", "data.layout=split/*/class")
    assert ran.code == 0, ran.err
    assert "cat" in (tmp_path / "run" / "metrics.json").read_text()
    ran = cli("train", path, "--out", "run", "data.layout=class/class")
    assert ran.code == 2 and "data.layout" in ran.err and "at most once" in ran.err


def test_a_recipes_test_images_may_have_a_table_of_their_own(tmp_path):
    source, _ = kaggle(tmp_path / "d")
    table, _ = table_as_source(tmp_path / "t")
    path = recipe(
        tmp_path / "recipe.yaml",
        source / "train.csv",
        f"test: {{source: {table}, image_root: {tmp_path / 't' / 'images'}, file_column: n}}",
    )
    parts = open_parts(read_recipe(str(path)).data, None)
    counts = [part.table.label.counts().tolist() for part in (parts.real, parts.test)]
    assert counts == [[5, 2], [5, 2]]


def test_a_recipe_hands_them_to_the_balancing_it_asks_for(cli, tmp_path):
    source, _ = two_levels(tmp_path / "d")
    path = recipe(
        tmp_path / "recipe.yaml",
        source,
        "layout: split/*/class",
        "synthetic: {balance: {model: demo}}",
    )
    ran = cli("balance", "--settings", path, "--out", "balanced", "--dry-run")
    assert ran.code == 0, ran.err
    assert "dog" in ran.out
    ran = cli("train", path, "data.synthetic.balance.layout=class", "--out", "run")
    assert ran.code == 2 and "data.layout" in ran.err


def test_finished_runs_of_earlier_versions_are_known_again(tmp_path):
    path = recipe(tmp_path / "recipe.yaml", "photos", "test: {source: other}")
    identity = recipe_identity(read_recipe(str(path)))
    assert "layout" not in identity["data"]
    assert identity["data"]["test"] == {"source": "other", "split": None, "config": None}
    given = recipe_identity(read_recipe(str(path), ["data.layout=class"]))
    assert given["data"]["layout"] == "class"


def test_from_python(tmp_path):
    source, _ = table_as_source(tmp_path / "d")
    found = synfill.analyze(source, image_root=tmp_path / "d" / "images", file_column="n")
    assert [(count.name, count.images) for count in found.splits[0].classes] == [
        ("cat", 5),
        ("dog", 2),
    ]
    planned = synfill.balance(
        str(source),
        image_root=tmp_path / "d" / "images",
        model="demo",
        dry_run=True,
        out=tmp_path / "o",
    )
    assert planned.dry_run
