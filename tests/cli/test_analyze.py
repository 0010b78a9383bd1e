import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets_fixtures import CIFAR10, make_cells, make_cifar10, make_imagefolder, make_parquet
from PIL import Image


@pytest.fixture
def photos(tmp_path):
    return make_imagefolder(
        tmp_path / "photos", {"train": {"cat": 5, "dog": 2}, "test": {"cat": 1, "dog": 1}}
    )


def test_tables_and_figures(cli, photos):
    ran = cli("analyze", photos)
    assert ran.code == 0
    for word in ("cat", "dog", "imbalance factor", "2.5", "Gini", "effective classes"):
        assert word in ran.out
    assert "Other splits: test" in ran.err


def test_json_is_one_object_and_nothing_else(cli, photos):
    ran = cli("analyze", photos, "--split", "all", "--json")
    found = json.loads(ran.out)
    assert list(found["splits"]) == ["train", "test"]
    train = found["splits"]["train"]
    assert train["class_counts"] == {"cat": 5, "dog": 2}
    assert (train["images"], train["imbalance_factor"], train["few"]) == (7, 2.5, 2)


def test_the_current_folder_is_the_default(cli, photos, monkeypatch):
    monkeypatch.chdir(photos)
    assert json.loads(cli("analyze", "--json").out)["splits"]["train"]["images"] == 7


def test_groups_and_cells(cli, tmp_path):
    cells = {("cat", "land"): 3, ("cat", "water"): 1, ("dog", "land"): 2}
    source = make_cells(tmp_path / "train.parquet", cells)
    train = json.loads(cli("analyze", source, "--group", "place", "--json").out)["splits"]["train"]
    assert train["smallest_cell"] == {"class": "dog", "groups": {"place": "water"}, "images": 0}
    assert 0 < train["groups"]["place"]["cramers_v"] < 1
    shown = cli("analyze", source, "--group", "place").out
    assert "Cramér's V with place" in shown and "dog / place=water" in shown


def test_long_lists_fold_in_the_middle(cli, tmp_path):
    source = make_parquet(tmp_path / "p.parquet", {f"class number {i}": 1 for i in range(60)})
    folded, unfolded = cli("analyze", source).out, cli("analyze", source, "-v").out
    assert "36 more" in folded and "class number 30" not in folded
    assert "class number 59" in folded and "class number 30" in unfolded


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_plots(cli, photos, tmp_path, suffix):
    ran = cli("analyze", photos, "--split", "all", "--plot", f"plot.{suffix}")
    assert ran.code == 0
    data = (tmp_path / f"plot.{suffix}").read_bytes()
    if suffix == "png":
        with Image.open(tmp_path / "plot.png") as image:
            assert np.asarray(image.convert("L")).std() > 10
    else:
        assert data.startswith(b"<?xml")
    assert cli("analyze", photos, "--split", "all", "--plot", f"again.{suffix}").code == 0
    assert (tmp_path / f"again.{suffix}").read_bytes() == data
    assert cli("analyze", photos, "--plot", "plot.pdf").code == 2


def test_class_names_with_markup_are_shown_as_they_are(cli, tmp_path):
    source = make_parquet(tmp_path / "p.parquet", {"[bold]x[/]": 2, "$a_b$": 1, "[/red]": 1})
    ran = cli("analyze", source, "--plot", "plot.png")
    assert ran.code == 0, ran.err
    assert "[bold]x[/]" in ran.out and "$a_b$" in ran.out


def test_one_class_and_none(cli, tmp_path):
    one = make_imagefolder(tmp_path / "one", {"train": {"cat": 3}})
    ran = cli("analyze", one, "--plot", "one.png")
    assert ran.code == 0 and "cat" in ran.out
    (tmp_path / "flat").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "flat" / "1.png")
    ran = cli("analyze", "flat", "--plot", "flat.png")
    assert ran.code == 0 and "images" in ran.out
    assert json.loads(cli("analyze", "flat", "--json").out)["splits"]["train"]["images"] == 1


def test_missing_labels_are_counted(cli, tmp_path):
    source = make_parquet(tmp_path / "p.parquet", {"cat": 2, "dog": 3})
    table = pq.read_table(source)
    codes = pa.array([0, 0, -1, None, None])
    pq.write_table(table.set_column(1, table.schema.field("label"), codes), source)
    found = json.loads(cli("analyze", source, "--json").out)["splits"]["train"]
    assert (found["images"], found["missing_labels"]) == (5, 3)
    assert "without a class" in cli("analyze", source).out


@pytest.mark.parametrize("stored", ["as a stand-in", "as it is"])
def test_the_long_tail_of_the_literature(cli, tmp_path, stored):
    data = CIFAR10
    if stored == "as a stand-in":
        data = make_cifar10(tmp_path / "cifar10", 5000, 1)
    elif not data.exists():
        pytest.skip(f"the photographs of CIFAR-10 are not in {data}")
    found = json.loads(cli("analyze", data, "--long-tail", 100, "--json").out)
    counts = list(found["splits"]["train"]["class_counts"].values())
    assert counts == [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]


def test_bad_input(cli, tmp_path, photos):
    wrong = [
        ["nowhere"],
        [photos, "--split", "val"],
        [photos, "--label", "x"],
        [photos, "--long-tail", "0.5"],
        [photos, "--long-tail-type", "round"],
    ]
    for arguments in wrong:
        ran = cli("analyze", *arguments)
        assert ran.code == 2, arguments
        assert ran.out == ""


@pytest.mark.parametrize(
    "arguments",
    [["--seed", "-1"], ["--seed", "9" * 40], ["--long-tail-max", "9" * 30], ["--long-tail", "inf"],
     ["--long-tail", "nan"], ["--plot", "folder.png"], ["--plot", "pipe.png"],
     ["--plot", "file/x.png"], ["--plot", "x"]],
)  # fmt: skip
def test_odd_values_are_wrong_use(cli, tmp_path, photos, arguments):
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "file").write_text("x")
    ran = cli("analyze", photos, *([] if "--long-tail" in arguments else ["--long-tail", 2]),
              *arguments)  # fmt: skip
    assert (ran.code, ran.out) == (2, ""), ran.err
