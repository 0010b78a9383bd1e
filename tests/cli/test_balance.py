"""`synfill balance` from end to end, with a small real pipeline."""

import hashlib
import io
import json
import os
from collections import Counter
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets_fixtures import CIFAR10, make_cells, make_cifar10, make_imagefolder, make_parquet
from huggingface_hub import DatasetCard
from PIL import Image

FAST = ("--steps", 2, "--batch-size", 4)


@pytest.fixture
def photos(tmp_path):
    return make_imagefolder(
        tmp_path / "photos",
        {"train": {"cat": 5, "sea otter": 2}, "test": {"cat": 1, "sea otter": 1}},
    )


def tree(folder):
    """Digest of every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def load(folder, tmp_path):
    return datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))


def counts(split):
    names = split.features["label"].names
    return Counter(names[label] for label in split["label"])


def test_a_folder_is_balanced_and_loads(cli, photos, sd_model, tmp_path):
    ran = cli("balance", photos, "--model", sd_model, *FAST)
    assert ran.code == 0, ran.err
    out = tmp_path / "photos-balanced"
    loaded = load(out, tmp_path)
    train = loaded["train"]
    assert counts(train) == {"cat": 5, "sea otter": 5}
    assert counts(loaded["test"]) == {"cat": 1, "sea otter": 1}
    assert loaded["test"]["synthetic"] == [False, False]
    made = train.filter(lambda synthetic: synthetic, input_columns=["synthetic"])
    assert set(made["prompt"]) == {"a photo of a sea otter"}
    assert len(set(made["seed"])) == 3
    real_files = {p.read_bytes() for p in (photos / "train").rglob("*.png")}
    kept = train.cast_column("image", datasets.Image(decode=False))
    assert {r["image"]["bytes"] for r in kept if not r["synthetic"]} == real_files
    for image in made["image"]:
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (16, 16))
    assert not (out / ".synfill").exists()
    record = json.loads((out / "synfill/run.json").read_text())
    assert record["splits"]["train"]["rows"] == 10
    verdicts = pq.read_table(out / "synfill/verdicts.parquet")
    assert verdicts["accepted"].to_pylist() == [True] * 3
    assert set(verdicts["class"].to_pylist()) == {"sea otter"}


def test_what_replaces_it_in_the_folder_is_not_taken_from_the_cache(
    cli, photos, sd_model, tmp_path
):
    for target in (3, 5):
        options = ("--target", f"uniform:{target}", "--overwrite")
        assert cli("balance", photos, "--model", sd_model, *FAST, *options).code == 0
        loaded = load(tmp_path / "photos-balanced", tmp_path)
        assert counts(loaded["train"]) == {"cat": 5, "sea otter": target}


def test_the_card_is_valid_and_says_what_was_done(cli, photos, sd_model, tmp_path):
    (photos / "train" / "sea otter").rename(photos / "train" / "old woman")
    (photos / "test" / "sea otter").rename(photos / "test" / "old woman")
    assert cli("balance", photos, "--model", sd_model, *FAST, "--modifiers", "default").code == 0
    out = tmp_path / "photos-balanced"
    card = DatasetCard.load(out / "README.md")
    data = card.data.to_dict()
    assert data["size_categories"] == ["n<1K"]
    assert "synthetic" in data["tags"]
    assert data["task_categories"] == ["image-classification"]
    assert data["source_datasets"]
    assert {"split": "train", "path": "data/train-*"} in data["configs"][0]["data_files"]
    words = [
        "3 of these images are synthetic",
        "synfill balance photos --modifiers default --model sd",
        "a photo of {article} {label}, {modifier}",
        "The prompts name people",
        "| old woman | 2 | 2 | 3 | 5 |",
    ]
    for word in words:
        assert word in card.text
    assert str(tmp_path) not in (out / "README.md").read_text()
    assert str(tmp_path) not in (out / "synfill/run.json").read_text()
    for picture in ("histogram", "samples"):
        with Image.open(out / "synfill" / f"{picture}.png") as image:
            assert np.asarray(image.convert("L")).std() > 10


def test_the_same_settings_give_the_same_bytes(cli, photos, sd_model, tmp_path):
    for out in ("one", "two"):
        assert cli("balance", photos, "--model", sd_model, *FAST, "--out", out).code == 0
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_the_same_command_again_has_nothing_to_do(cli, photos, sd_model, tmp_path):
    command = ("balance", photos, "--model", sd_model, *FAST)
    assert cli(*command).code == 0
    before = tree(tmp_path / "photos-balanced")
    again = cli(*command)
    assert again.code == 0
    assert "Nothing to do" in again.out
    assert tree(tmp_path / "photos-balanced") == before


def test_changed_settings_are_named_and_nothing_is_touched(cli, photos, sd_model, tmp_path):
    command = ("balance", photos, "--model", sd_model, "--batch-size", 4)
    assert cli(*command, "--steps", 2).code == 0
    before = tree(tmp_path / "photos-balanced")
    other = cli(*command, "--steps", 3, "--target", "uniform:6")
    assert other.code == 2
    assert "steps: 2 -> 3" in other.err
    assert 'target: "uniform" -> "uniform:6"' in other.err
    assert tree(tmp_path / "photos-balanced") == before
    assert cli(*command, "--steps", 3, "--target", "uniform:6", "--overwrite").code == 0
    assert counts(load(tmp_path / "photos-balanced", tmp_path)["train"]) == {
        "cat": 6, "sea otter": 6,
    }  # fmt: skip


def test_changed_images_are_another_run(cli, photos, sd_model):
    command = ("balance", photos, "--model", sd_model, *FAST)
    assert cli(*command).code == 0
    victim = next((photos / "train" / "cat").glob("*.png"))
    Image.new("RGB", (16, 16), "red").save(victim)
    again = cli(*command)
    assert again.code == 2
    assert "source content" in again.err


def test_what_does_not_change_the_result_may_change(cli, photos, sd_model):
    command = ("balance", photos, "--model", sd_model, "--steps", 2)
    assert cli(*command, "--batch-size", 4).code == 0
    moved = photos.rename(photos.with_name("elsewhere"))
    again = cli("balance", moved, "--model", sd_model, "--steps", 2, "--batch-size", 2,
                "--out", "photos-balanced")  # fmt: skip
    assert again.code == 0, again.err
    assert "Nothing to do" in again.out


def test_imagefolder_format(cli, photos, sd_model, tmp_path):
    ran = cli("balance", photos, "--model", sd_model, *FAST, "--format", "imagefolder")
    assert ran.code == 0, ran.err
    out = tmp_path / "photos-balanced"
    assert (out / "train/metadata.csv").exists() and (out / "test/metadata.csv").exists()
    assert len(list((out / "train/sea otter").iterdir())) == 5
    loaded = load(out, tmp_path)
    assert Counter(loaded["train"]["label"]) == {"cat": 5, "sea otter": 5}
    assert sum(loaded["train"]["synthetic"]) == 3
    assert loaded["test"].num_rows == 2
    again = cli("analyze", out, "--json")
    found = json.loads(again.out)["splits"]["train"]["class_counts"]
    assert found == {"cat": 5, "sea otter": 5}


def test_hostile_class_names_stay_inside(cli, sd_model, tmp_path):
    names = ["../../up", "a/b", " ", "..", "ä ö", "CON", "cat", "Cat"]
    source = make_parquet(tmp_path / "train.parquet", {n: 1 + (n == "cat") for n in names})
    before = set(tmp_path.rglob("*"))
    ran = cli("balance", source, "--model", sd_model, *FAST, "--format", "imagefolder",
              "--out", "out")  # fmt: skip
    assert ran.code == 0, ran.err
    outside = [
        path for path in set(tmp_path.rglob("*")) - before
        if not path.is_relative_to(tmp_path / "out")
    ]  # fmt: skip
    assert outside == []
    folders = [path for path in (tmp_path / "out/train").iterdir() if path.is_dir()]
    assert len(folders) == len(names)
    labels = load(tmp_path / "out", tmp_path)["train"]["label"]
    assert Counter(labels) == dict.fromkeys(names, 2)


@pytest.mark.parametrize("by", ["class", "class+place"])
def test_groups(cli, sd_model, tmp_path, by):
    cells = {("cat", "land"): 3, ("cat", "water"): 1, ("dog", "land"): 1}
    source = make_cells(tmp_path / "train.parquet", cells)
    ran = cli("balance", source, "--model", sd_model, *FAST, "--group", "place", "--by", by)
    assert ran.code == 0, ran.err
    train = load(tmp_path / "train-balanced", tmp_path)["train"]
    names = train.features["label"].names
    found = Counter(
        (names[row["label"]], row["place"], row["synthetic"])
        for row in train.remove_columns("image")
    )
    real = {(*cell, False): n for cell, n in cells.items()}
    if by == "class":
        assert found == real | {("dog", None, True): 3}
    else:
        assert found == real | {
            ("cat", "water", True): 2, ("dog", "land", True): 2, ("dog", "water", True): 3,
        }  # fmt: skip
        prompts = {p for p in train["prompt"] if p}
        assert "a photo of a dog, water background" in prompts


def test_observed_only_leaves_empty_cells_empty(cli, sd_model, tmp_path):
    cells = {("cat", "land"): 3, ("cat", "water"): 1, ("dog", "land"): 1}
    source = make_cells(tmp_path / "train.parquet", cells)
    ran = cli("balance", source, "--model", sd_model, *FAST, "--by", "class+place",
              "--observed-only")  # fmt: skip
    assert ran.code == 0, ran.err
    record = json.loads((tmp_path / "train-balanced/synfill/run.json").read_text())
    made = {(c["class"], c["groups"]["place"]): c["synthetic"] for c in record["counts"]}
    assert made[("dog", "water")] == 0
    assert made[("dog", "land")] == 2


def test_cap_limit_and_replace(cli, photos, sd_model, tmp_path):
    base = ("balance", photos, "--model", sd_model, *FAST)
    assert cli(*base, "--cap", 3, "--out", "capped").code == 0
    record = json.loads((tmp_path / "capped/synfill/run.json").read_text())
    assert [(c["kept"], c["synthetic"]) for c in record["counts"]] == [(3, 0), (2, 1)]
    assert cli(*base, "--limit", 2, "--out", "limited").code == 0
    record = json.loads((tmp_path / "limited/synfill/run.json").read_text())
    assert [c["synthetic"] for c in record["counts"]] == [0, 2]
    assert cli(*base, "--replace", 0.5, "--out", "half").code == 0
    record = json.loads((tmp_path / "half/synfill/run.json").read_text())
    assert [(c["kept"], c["synthetic"]) for c in record["counts"]] == [(2, 3), (1, 1)]
    assert cli(*base, "--replace-class", "sea otter", "--out", "class").code == 0
    record = json.loads((tmp_path / "class/synfill/run.json").read_text())
    assert [(c["kept"], c["synthetic"]) for c in record["counts"]] == [(5, 0), (0, 2)]


def test_our_own_dataset_can_be_balanced_again(cli, photos, sd_model, tmp_path):
    base = ("--model", sd_model, *FAST)
    assert cli("balance", photos, *base, "--out", "one").code == 0
    ran = cli("balance", "one", *base, "--target", "uniform:6", "--out", "two")
    assert ran.code == 0, ran.err
    train = load(tmp_path / "two", tmp_path)["train"]
    assert train.column_names == ["image", "label", "synthetic", "prompt", "seed", "generator"]
    assert counts(train) == {"cat": 6, "sea otter": 6}
    assert sum(train["synthetic"]) == 3 + 2
    made = [row for row in train.cast_column("image", datasets.Image(decode=False))
            if row["synthetic"]]  # fmt: skip
    # Seeds of their own: the same image isn't made again.
    assert len({row["seed"] for row in made}) == 5
    assert len({row["image"]["bytes"] for row in made}) == 5
    assert len({row["image"]["path"] for row in made}) == 5
    record = json.loads((tmp_path / "two/synfill/run.json").read_text())
    assert len(record["history"]) == 1
    assert [(c["kept"], c["earlier"], c["synthetic"]) for c in record["counts"]] == [
        (5, 0, 1), (2, 3, 1),
    ]  # fmt: skip
    card = (tmp_path / "two/README.md").read_text()
    assert "**5 of these images are synthetic.** 3 of them are from earlier runs." in card


def test_only_real_images_are_capped_and_replaced(cli, photos, sd_model, tmp_path):
    base = ("--model", sd_model, *FAST)
    assert cli("balance", photos, *base, "--out", "one").code == 0
    assert cli("balance", "one", *base, "--cap", 1, "--target", "present", "--out", "two").code == 0
    train = load(tmp_path / "two", tmp_path)["train"]
    assert Counter(train["synthetic"]) == {True: 3, False: 2}
    refused = cli("balance", "one", *base, "--by", "class+synthetic", "--out", "three")
    assert refused.code == 2


def test_an_imagefolder_of_ours_has_nulls_again(cli, photos, sd_model, tmp_path):
    base = ("--model", sd_model, *FAST)
    assert cli("balance", photos, *base, "--format", "imagefolder", "--out", "one").code == 0
    ran = cli("balance", "one", *base, "--target", "uniform:6", "--out", "two")
    assert ran.code == 0, ran.err
    train = load(tmp_path / "two", tmp_path)["train"]
    assert Counter(train["synthetic"]) == {False: 7, True: 5}
    for row in train.remove_columns("image"):
        found = [row[name] is None for name in ("prompt", "seed", "generator")]
        assert found == [not row["synthetic"]] * 3


def test_foreign_columns_of_our_names(cli, sd_model, tmp_path):
    source = make_parquet(
        tmp_path / "train.parquet", {"cat": 2, "dog": 1}, groups={"prompt": ["x", "y", "z"]}
    )
    base = ("balance", source, "--model", sd_model, *FAST)
    refused = cli(*base)
    assert refused.code == 2
    assert "--rename-columns" in refused.err
    assert cli(*base, "--rename-columns").code == 0
    train = load(tmp_path / "train-balanced", tmp_path)["train"]
    assert train["prompt"] == ["x", "y", "z", None]
    assert train["synfill_prompt"] == [None] * 3 + ["a photo of a dog"]


def test_jpegs_keep_quality_and_grey_stays_grey(cli, sd_model, tmp_path):
    root = make_imagefolder(
        tmp_path / "grey", {"train": {"cat": 3, "dog": 1}}, size=(20, 12), format="JPEG", mode="L"
    )
    assert cli("balance", root, "--model", sd_model, *FAST).code == 0
    train = load(tmp_path / "grey-balanced", tmp_path)["train"]
    tables = {json.dumps({k: list(v) for k, v in i.quantization.items()}) for i in train["image"]}
    assert len(tables) == 1
    assert {(i.format, i.mode, i.size) for i in train["image"]} == {("JPEG", "L", (20, 12))}


def test_settings_from_a_file_and_the_command_line_first(cli, photos, sd_model, tmp_path):
    Path("s.yaml").write_text(
        f"source: {photos}\nmodel: {sd_model}\nsteps: 2\nbatch-size: 4\ntarget: uniform:9\nout: o\n"
    )
    assert cli("balance", "--settings", "s.yaml", "--target", "uniform:6").code == 0
    assert counts(load(tmp_path / "o", tmp_path)["train"]) == {"cat": 6, "sea otter": 6}


def test_the_python_api(photos, sd_model, tmp_path):
    import synfill

    result = synfill.balance(photos, out=tmp_path / "o", model=str(sd_model), steps=2, batch_size=4)
    assert result.synthetic == 3
    assert result.rows == {"train": 10, "test": 2}
    assert synfill.analyze(tmp_path / "o").splits[0].figures.imbalance_factor == 1
    with pytest.raises(synfill.UsageError, match="targt"):
        synfill.balance(photos, targt="x")


def test_dry_run_writes_the_plan_alone(cli, photos, sd_model, tmp_path):
    base = ("balance", photos, "--model", sd_model, *FAST)
    ran = cli(*base, "--dry-run")
    assert ran.code == 0, ran.err
    for word in ("To make: 3 images", "a photo of a sea otter", "Disk:", "measured"):
        assert word in ran.out
    out = tmp_path / "photos-balanced"
    assert list(tree(out)) == ["synfill/plan.parquet"]
    plan = pq.read_table(out / "synfill/plan.parquet")
    assert plan.num_rows == 3
    # The plan is in nobody's way, with the same settings or with others.
    assert cli(*base, "--target", "uniform:6").code == 0


def test_dry_run_knows_public_models_without_fetching_them(cli, photos):
    ran = cli("balance", photos, "--dry-run", "--model", "sdxl")
    assert ran.code == 0, ran.err
    assert "H100" in ran.out


def test_images_that_fail_are_tried_again_and_told(cli, photos, tmp_path):
    from tiny_models import make_sd

    model = make_sd(tmp_path / "safe", safety_checker=True, flags=0.5)
    ran = cli("balance", photos, "--model", model, *FAST, "--target", "uniform:16",
              "--max-tries", 2)  # fmt: skip
    assert ran.code == 0, ran.err
    out = tmp_path / "photos-balanced"
    record = json.loads((out / "synfill/run.json").read_text())
    verdicts = pq.read_table(out / "synfill/verdicts.parquet").to_pylist()
    rejected = [v for v in verdicts if not v["accepted"]]
    assert record["rejected"] == len(rejected) > 0
    assert {v["reason"] for v in rejected} == {"flagged by the safety checker"}
    made = sum(v["accepted"] for v in verdicts)
    assert record["unfilled"] == 25 - made
    assert load(out, tmp_path)["train"].num_rows == 7 + made
    for row in load(out, tmp_path)["train"]:
        assert np.asarray(row["image"]).max() > 0


def png(size=(16, 16)):
    buffer = io.BytesIO()
    Image.effect_noise(size, 60).convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


class TestBadInput:
    """One clear message each, the right exit code, and nothing written."""

    def check(self, cli, tmp_path, code, words, *arguments):
        before = tree(tmp_path)
        ran = cli(*arguments)
        assert ran.code == code, ran.err
        for word in words:
            assert word in ran.err
        assert tree(tmp_path) == before
        return ran

    def test_no_such_source(self, cli, tmp_path):
        self.check(cli, tmp_path, 2, ["'nowhere'"], "balance", "nowhere")
        self.check(cli, tmp_path, 2, ["'nowhere'"], "analyze", "nowhere")

    def test_an_empty_folder(self, cli, tmp_path):
        (tmp_path / "empty").mkdir()
        self.check(cli, tmp_path, 2, ["empty"], "analyze", "empty")
        self.check(cli, tmp_path, 2, ["empty"], "balance", "empty")

    def test_images_without_classes(self, cli, tmp_path):
        (tmp_path / "flat").mkdir()
        (tmp_path / "flat" / "1.png").write_bytes(png())
        self.check(cli, tmp_path, 2, ["no classes", "--label"], "balance", "flat")
        shown = cli("analyze", "flat")
        assert shown.code == 0
        assert "no classes" in shown.err

    def test_nothing_to_balance(self, cli, tmp_path, sd_model):
        even = make_imagefolder(tmp_path / "even", {"train": {"cat": 2, "dog": 2}})
        self.check(cli, tmp_path, 2, ["nothing to balance"], "balance", even, "--model", sd_model)

    def test_unknown_names(self, cli, tmp_path, photos, sd_model):
        base = ("balance", photos, "--model", sd_model)
        self.check(cli, tmp_path, 2, ["'breed'", "label"], *base, "--label", "breed")
        self.check(cli, tmp_path, 2, ["'sex'"], *base, "--group", "sex")
        self.check(cli, tmp_path, 2, ["'val'", "train"], *base, "--split", "val")
        self.check(cli, tmp_path, 2, ["'unifrom'", "'uniform'"], *base, "--target", "unifrom")
        self.check(cli, tmp_path, 2, ["'dgo'"], *base, "--replace-class", "dgo")
        self.check(cli, tmp_path, 2, ["'sdx1'", "'sdxl'"], "balance", photos, "--model", "sdx1")
        self.check(cli, tmp_path, 2, ["scheduler"], *base, "--scheduler", "dpmm")
        self.check(cli, tmp_path, 2, ["cuda"], *base, "--device", "cuda")

    @pytest.mark.parametrize(
        ("name", "data", "reason"),
        [("zero.png", b"", "empty"), ("text.png", b"hello", "not an image"),
         ("cut.png", png((64, 64))[:2000], "truncated")],
    )  # fmt: skip
    def test_bad_images(self, cli, tmp_path, photos, sd_model, name, data, reason):
        (photos / "train" / "cat" / name).write_bytes(data)
        base = ("balance", photos, "--model", sd_model, *FAST)
        self.check(cli, tmp_path, 1, [name, reason, "--on-bad-image skip"], *base)
        assert cli(*base, "--on-bad-image", "skip").code == 0
        out = tmp_path / "photos-balanced"
        assert name in (out / "synfill/skipped.csv").read_text()
        assert load(out, tmp_path)["train"].num_rows == 10

    def test_an_output_folder_with_something_else_in_it(self, cli, tmp_path, photos, sd_model):
        out = tmp_path / "mine"
        out.mkdir()
        (out / "thesis.txt").write_text("years of work")
        base = ("balance", photos, "--model", sd_model, *FAST, "--out", out)
        self.check(cli, tmp_path, 2, ["thesis.txt", "--overwrite"], *base)
        assert cli(*base, "--overwrite").code == 0
        assert (out / "thesis.txt").read_text() == "years of work"
        assert load(out, tmp_path)["train"].num_rows == 10

    def test_overwrite_takes_no_files_of_the_users(self, cli, tmp_path, photos, sd_model):
        base = ("balance", photos, "--model", sd_model, *FAST, "--out", "o")
        assert cli(*base).code == 0
        (tmp_path / "o/data/thesis.txt").write_text("years of work")
        again = (*base, "--target", "uniform:6", "--overwrite")
        told = self.check(cli, tmp_path, 2, ["data/thesis.txt", "another --out"], *again)
        assert "Loading" not in told.err
        (tmp_path / "o/data/thesis.txt").rename(tmp_path / "o/thesis.txt")
        prompts = tmp_path / "o/synfill/p.yaml"
        prompts.write_text("classes: {cat: kitten}\n")
        self.check(cli, tmp_path, 2, ["p.yaml"], *again, "--prompts", prompts)
        prompts = prompts.rename(tmp_path / "o/p.yaml")
        assert cli(*again, "--prompts", prompts).code == 0
        assert (tmp_path / "o/thesis.txt").read_text() == "years of work"
        assert prompts.exists()

    def test_an_output_folder_inside_the_source_or_around_it(self, cli, tmp_path, photos, sd_model):
        base = ("balance", photos, "--model", sd_model)
        self.check(cli, tmp_path, 2, ["inside the source"], *base, "--out", photos / "x")
        self.check(cli, tmp_path, 2, ["inside the source"], *base, "--out", photos)
        self.check(cli, tmp_path, 2, ["inside the output"], *base, "--out", photos.parent)

    def test_an_output_that_is_a_file(self, cli, tmp_path, photos, sd_model):
        (tmp_path / "f").write_text("x")
        self.check(cli, tmp_path, 2, ["is a file"], "balance", photos, "--model", sd_model,
                   "--out", "f")  # fmt: skip

    def test_a_model_that_cannot_be_loaded_leaves_nothing(self, cli, tmp_path, photos):
        (tmp_path / "m").mkdir()
        self.check(cli, tmp_path, 2, ["model_index.json"], "balance", photos, "--model", "m")
        self.check(cli, tmp_path, 1, ["sd-turbo"], "balance", photos, "--model",
                   "stabilityai/sd-turbo")  # fmt: skip

    def test_no_room(self, cli, tmp_path, photos, sd_model, monkeypatch):
        monkeypatch.setattr("synfill.balancing.dry_run.free_bytes", lambda folder: 1000)
        self.check(cli, tmp_path, 1, ["not enough room"], "balance", photos, "--model", sd_model)

    def test_what_an_imagefolder_cannot_hold_is_told_before_anything_is_made(
        self, cli, tmp_path, sd_model
    ):
        source = make_parquet(tmp_path / "p.parquet", {"NA": 2, "b": 1})
        self.check(cli, tmp_path, 2, ["'NA'", "--format parquet"], "balance", source, "--model",
                   sd_model, "--format", "imagefolder")  # fmt: skip

    def test_a_typo_in_a_prompts_file(self, cli, tmp_path, photos, sd_model):
        (tmp_path / "p.yaml").write_text("classes: {caat: kitten}\n")
        self.check(cli, tmp_path, 2, ["'caat'", "'cat'"], "balance", photos, "--model", sd_model,
                   "--prompts", "p.yaml")  # fmt: skip

    def test_a_missing_folder_below_one_that_is_there(self, cli, tmp_path, photos):
        self.check(cli, tmp_path, 2, ["no folder"], "analyze", "photos/nope")

    def test_a_dry_run_tells_what_would_stop_the_run(self, cli, tmp_path, photos, sd_model):
        (tmp_path / "o").mkdir()
        (tmp_path / "o" / "mine.txt").write_text("x")
        before = tree(tmp_path)
        ran = cli("balance", photos, "--model", sd_model, *FAST, "--dry-run", "--out", "o")
        assert ran.code == 0
        assert "would stop" in ran.err and "To make: 3 images" in ran.out
        assert tree(tmp_path) == before

    def test_wrong_settings_are_told_together(self, cli, tmp_path):
        (tmp_path / "s.yaml").write_text("targt: uniform\nsteps: 0\n")
        self.check(cli, tmp_path, 2, ["targt", "'target'", "steps"], "balance", "--settings",
                   "s.yaml")  # fmt: skip

    def test_class_names_that_say_nothing_are_warned_of(self, cli, tmp_path, sd_model):
        source = make_imagefolder(tmp_path / "n", {"train": {"n01440764": 2, "0": 1}})
        ran = cli("balance", source, "--model", sd_model, "--dry-run")
        assert ran.code == 0
        assert "1 class name says nothing" in ran.err and "--prompts" in ran.err


def test_unusual_images_are_read(cli, sd_model, tmp_path):
    root = tmp_path / "odd" / "train"
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(pixels.astype(np.uint16) * 257).save(root / "a/16bit.png")
    Image.fromarray(pixels).convert("P").save(root / "a/palette.png")
    Image.fromarray(np.dstack([pixels] * 4)).save(root / "a/alpha.png")
    Image.fromarray(np.dstack([pixels] * 4), "CMYK").save(root / "a/cmyk.jpg")
    frames = [Image.fromarray(pixels), Image.fromarray(255 - pixels)]
    frames[0].save(root / "a/moving.gif", save_all=True, append_images=frames[1:])
    Image.fromarray(pixels).save(root / "b/plain.png")
    ran = cli("balance", tmp_path / "odd", "--model", sd_model, *FAST)
    assert ran.code == 0, ran.err
    train = load(tmp_path / "odd-balanced", tmp_path)["train"]
    assert counts(train) == {"a": 5, "b": 5}
    assert len(train[0:10]["image"]) == 10


@pytest.mark.parametrize("stored", ["as a stand-in", "as it is"])
def test_cifar10_as_the_readme_says(cli, sd_model, tmp_path, stored):
    data, kept, others = CIFAR10, 12_406, 10_000
    if stored == "as a stand-in":
        # 200, 119, 71, 43, 25, 15, 9, 5, 3 and 2 images a class.
        data, kept, others = make_cifar10(tmp_path / "cifar10", 200, 20), 492, 200
    elif not data.exists():
        pytest.skip(f"the photographs of CIFAR-10 are not in {data}")
    ran = cli("balance", data, "--long-tail", 100, "--limit", 4, "--model", sd_model, *FAST,
              "--out", "o", "-q")  # fmt: skip
    assert ran.code == 0, ran.err
    loaded = load(tmp_path / "o", tmp_path)
    assert loaded["train"].num_rows == kept + 4
    assert loaded["test"].num_rows == others
    names = loaded["train"].features["label"].names
    assert names[9] == "truck"
    before = pq.read_table(data / "test.parquet")["image"].combine_chunks()
    after = pq.read_table(next((tmp_path / "o/data").glob("test-*")))["image"].combine_chunks()
    assert before.equals(after)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root to mount a disk")
def test_a_full_disk_loses_nothing(cli, photos, sd_model, tmp_path, monkeypatch):
    import subprocess

    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        monkeypatch.setattr("synfill.balancing.dry_run.free_bytes", lambda folder: 10**12)
        command = ("balance", photos, "--model", sd_model, *FAST, "--target", "uniform:150",
                   "--steps", 1, "--out", small / "out")  # fmt: skip
        ran = cli(*command)
        assert ran.code == 1
        assert "disk is full" in ran.err and "same command again" in ran.err
        kept = set((small / "out/.synfill/shards").glob("*.parquet"))
        assert kept
        subprocess.run(["mount", "-o", "remount,size=50m", str(small)], check=True)
        ran = cli(*command)
        assert ran.code == 0, ran.err
        assert "Going on" in ran.err
    finally:
        subprocess.run(["umount", str(small)], check=True)
