"""What `balance` tells of itself: on screen, in the card, in the picture."""

import json
import shutil
from pathlib import Path

import pytest
from datasets_fixtures import make_cells, make_imagefolder, make_parquet

FAST = ("--steps", 2, "--batch-size", 4)


def card_of(out="o"):
    return Path(out, "README.md").read_text()


@pytest.fixture
def photos(tmp_path):
    return make_imagefolder(tmp_path / "photos", {"cat": 5, "sea otter": 1, "fox": 1})


@pytest.mark.parametrize("dry_run", [True, False])
def test_what_a_limit_leaves_unfilled_is_said(cli, photos, sd_model, dry_run):
    options = ("--limit", 3, "--out", "o", *(["--dry-run"] if dry_run else []))
    ran = cli("balance", photos, "--model", sd_model, *FAST, *options)
    assert ran.code == 0, ran.err
    told = (
        "Not filled up: with the limit of 3 images, 2 of 3 classes lack 5 images "
        "(sea otter 2 of 5, fox 3 of 5)."
    )
    shown = " ".join(ran.out.split())
    assert told.replace("sea otter 2", "fox 2").replace("fox 3", "sea otter 3") in shown or (
        told in shown
    )
    if not dry_run:
        card = card_of()
        assert "with the split `train` partly filled up by class" in card
        assert "2 of 3 classes lack 5 images" in card


def test_without_a_limit_nothing_is_said_of_it(cli, photos, sd_model):
    ran = cli("balance", photos, "--model", sd_model, *FAST, "--out", "o", "--limit", 100)
    assert "Not filled up" not in ran.out + card_of()
    assert "`train` filled up by class" in card_of()


def test_tables_card_and_picture_have_the_words_of_the_prompts_file(cli, sd_model, tmp_path):
    cells = {("0", "0"): 3, ("0", "1"): 1, ("1", "1"): 2}
    source = make_cells(tmp_path / "birds.parquet", cells)
    (tmp_path / "words.yaml").write_text(
        "classes: {0: landbird, 1: waterbird}\ngroups: {place: {0: on land, 1: on water}}\n"
    )
    options = ("--by", "class+place", "--prompts", "words.yaml", "--out", "o")
    ran = cli("balance", source, "--model", sd_model, *FAST, *options)
    assert ran.code == 0, ran.err
    name = "landbird (0) / place=on water (1)"
    assert name in ran.out
    assert f"| {name} | 1 | 1 | 2 | 3 |" in card_of()
    record = json.loads((tmp_path / "o/synfill/run.json").read_text())
    assert record["counts"][1]["class"] == "0" and record["counts"][1]["groups"] == {"place": "1"}
    assert name in cli("balance", source, "--model", sd_model, *FAST, *options).out


def test_the_cards_command_has_the_users_own_words(cli, photos, sd_model, tmp_path):
    shutil.copytree(sd_model, tmp_path / "models/tiny")
    (tmp_path / "p.yaml").write_text("modifiers: [close-up]\n")
    command = ("balance", "photos", "--model", "models/tiny", "--prompts", "p.yaml", *FAST)
    assert cli(*command, "--out", "o").code == 0
    card = card_of()
    assert "synfill balance photos --prompts p.yaml --model models/tiny --steps 2\n" in card
    assert "`photos`, `p.yaml`, `models/tiny` are files or folders of whoever ran it" in card
    absolute = ("balance", photos, "--model", tmp_path / "models/tiny", *FAST, "--out", "two")
    assert cli(*absolute).code == 0
    card = card_of("two")
    assert "synfill balance photos --model tiny --steps 2\n" in card
    assert "`photos`, `tiny` are files or folders of whoever ran it: put yours in place." in card
    assert str(tmp_path) not in card


def test_the_demo_is_no_dataset_of_the_hub(cli):
    ran = cli("balance", "demo", "--model", "demo", "--limit", 1, "--steps", 1, "--out", "o", "-q")
    assert ran.code == 0, ran.err
    card = card_of()
    assert "huggingface.co/datasets/demo" not in card
    assert "`demo`" in card and "source_datasets:\n- extended|other-demo" in card
    assert "**1 of these images is synthetic.**" in card
    assert json.loads(Path("o/synfill/run.json").read_text())["source"]["id"] == ""


@pytest.mark.parametrize(("name", "people"), [("white-tailed deer", False), ("old woman", True)])
def test_people_are_cautioned_of_where_there_are_any(cli, sd_model, tmp_path, name, people):
    source = make_parquet(tmp_path / "p.parquet", {"car": 2, name: 1})
    assert cli("balance", source, "--model", sd_model, *FAST, "--out", "o").code == 0
    assert ("The prompts name people" in card_of()) is people


def test_one_is_told_as_one(cli, sd_model, tmp_path):
    source = make_parquet(tmp_path / "p.parquet", {"car": 2, "7": 1})
    command = ("balance", source, "--model", sd_model, *FAST, "--out", "o")
    dry = cli(*command, "--dry-run")
    assert "To make: 1 image." in dry.out
    assert "1 class name says nothing to a text encoder ('7'), so that its images" in dry.err
    assert "1 synthetic image, 0 rejected" in cli(*command).out
