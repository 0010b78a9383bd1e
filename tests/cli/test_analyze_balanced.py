"""`analyze` of a dataset that `balance` made: real and synthetic images stand apart."""

import json

import pytest
from datasets_fixtures import make_cells, make_imagefolder
from PIL import Image

FAST = ("--steps", 2, "--batch-size", 4)


def balanced(cli, tmp_path, sd_model, *options):
    cells = {("cat", "land"): 4, ("cat", "water"): 1, ("dog", "land"): 2}
    source = make_cells(tmp_path / "pets.parquet", cells)
    ran = cli("balance", source, "--model", sd_model, *FAST, "--out", "o", *options)
    assert ran.code == 0, ran.err


@pytest.mark.parametrize("options", [(), ("--format", "imagefolder"), ("--rename-columns",)])
def test_json_has_both(cli, tmp_path, sd_model, options):
    balanced(cli, tmp_path, sd_model, "--by", "class+place", *options)
    found = json.loads(cli("analyze", "o", "--group", "place", "--json").out)["splits"]["train"]
    assert found["images"] == 16
    assert found["synthetic"]["images"] == 9
    assert found["class_counts"] == {"cat": 8, "dog": 8}
    assert found["synthetic"]["class_counts"] == {"cat": 3, "dog": 6}
    assert found["synthetic"]["groups"] == {"place": {"land": 2, "water": 7}}
    assert [cell["images"] for cell in found["synthetic"]["cells"]] == [0, 3, 2, 4]
    assert found["imbalance_factor"] == 1
    assert found["real_figures"]["imbalance_factor"] == 2.5


def test_tables_and_plot_have_both(cli, tmp_path, sd_model):
    balanced(cli, tmp_path, sd_model)
    ran = cli("analyze", "o", "--plot", "p.png")
    assert ran.code == 0, ran.err
    lines = [line.split() for line in ran.out.splitlines()]
    assert ["train", "real", "synthetic"] in lines
    assert next(line for line in lines if line[:1] == ["dog"])[1:4] == ["5", "2", "3"]
    assert ["made", "by", "models", "3"] in lines
    assert ["real", "images", "alone", "2.5"] in lines
    with Image.open(tmp_path / "p.png") as image:
        colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 20)}
    assert {(0x4C, 0x72, 0xB0), (0xDD, 0x84, 0x52)} <= colours


def test_a_split_without_synthetic_images_has_one_column(cli, tmp_path, sd_model):
    counts = {"train": {"cat": 3, "dog": 1}, "test": {"cat": 1, "dog": 1}}
    photos = make_imagefolder(tmp_path / "photos", counts)
    assert cli("balance", photos, "--model", sd_model, *FAST, "--out", "o").code == 0
    lines = [line.split() for line in cli("analyze", "o", "--split", "all").out.splitlines()]
    assert ["train", "real", "synthetic", "test"] in lines
    assert next(line for line in lines if line[:1] == ["dog"])[1:5] == ["3", "1", "2", "1"]


def test_other_datasets_say_nothing_of_it(cli, tmp_path):
    photos = make_imagefolder(tmp_path / "photos", {"cat": 2, "dog": 1})
    assert "synthetic" not in cli("analyze", photos).out
    found = json.loads(cli("analyze", photos, "--json").out)["splits"]["train"]
    assert found["synthetic"] is None
