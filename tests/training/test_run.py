from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from datasets_fixtures import make_imagefolder
from training_fixtures import CLASSES, make_colours, write_recipe

import synfill
from synfill.config.recipes.read import read_recipe
from synfill.errors import Interrupted, RunError, UsageError
from synfill.reporter import LogReporter


@pytest.fixture(scope="session")
def trained(colours, tmp_path_factory):
    """A finished run of the recipe's own stages on two seeds."""
    folder = tmp_path_factory.mktemp("trained")
    out = folder / "out"
    recipe = write_recipe(folder / "recipe.yaml", colours)
    return recipe, out, synfill.train(recipe, seeds=(0, 1), out=out, device="cpu")


def weights(out, seed=0):
    return (out / f"seed-{seed}" / "model" / "model.safetensors").read_bytes()


def test_what_a_run_leaves(trained, colours):
    _, out, result = trained
    assert sorted(p.name for p in out.iterdir()) == [
        "class-sizes.png", "confusion.png", "learning-curves.png", "method.json", "metrics.json",
        "predictions.parquet", "recipe.yaml", "run.json", "seed-0", "seed-1",
    ]  # fmt: skip
    assert sorted(p.name for p in (out / "seed-0").iterdir()) == [
        "history.jsonl", "model", "predictions.parquet", "result.json",
    ]  # fmt: skip
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["seeds"] == [0, 1] and metrics["classes"] == list(CLASSES)
    assert [entry["real"] for entry in metrics["test"]["per_class"]] == [24, 22, 4]
    assert [entry["synthetic"] for entry in metrics["test"]["per_class"]] == [0, 2, 20]
    # The figures are those of the predictions that are on disk.
    table = pq.read_table(out / "predictions.parquet").to_pandas()
    test = table[table.split == "test"]
    for number, seed in enumerate((0, 1)):
        own = test[test.seed == seed]
        assert len(own) == 30
        right = own.label == own.predicted
        assert metrics["test"]["accuracy"]["values"][number] == pytest.approx(right.mean())
        cells = right.groupby([own.label, own.place]).mean()
        assert metrics["test"]["worst_cell"]["values"][number] == pytest.approx(cells.min())
    # The model on disk says of the test images what predictions.parquet holds.
    images = pq.read_table(colours / "data" / "test-00000-of-00001.parquet")["image"].to_pylist()
    classifier = synfill.load_classifier(out / "seed-0" / "model", device="cpu")
    own = test[test.seed == 0].sort_values("row")
    found = classifier.predict([image["bytes"] for image in images])
    np.testing.assert_allclose(found, np.stack(own.probabilities), atol=1e-5)
    assert result.results["recipe"][0].test.accuracy == metrics["test"]["accuracy"]["values"][0]


@pytest.mark.usefixtures("with_pictures")
def test_pictures_are_drawn_from_what_is_on_disk_alike(trained, tmp_path):
    from synfill.report.plots import draw_method
    from synfill.runs.training_folder import MethodFolder

    recipe, out, _ = trained
    names = ["class-sizes.png", "confusion.png", "learning-curves.png"]
    before = {name: (out / name).read_bytes() for name in names}
    copy = shutil.copytree(out, tmp_path / "copy")
    for path in copy.rglob("history.jsonl"):
        # Times are in no picture.
        lines = [json.loads(line) | {"seconds": 9.0, "images_per_second": 1.0}
                 for line in path.open()]  # fmt: skip
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for name in names:
        (copy / name).unlink()
    draw_method(MethodFolder(copy, copy))
    assert {name: (copy / name).read_bytes() for name in names} == before
    # A history that is damaged costs the picture, not the run.
    (copy / "seed-0" / "history.jsonl").write_text("x")
    told = Told()
    synfill.train(recipe, out=copy, seeds=(0, 1), device="cpu", reporter=told)
    assert any(
        "pictures can't be drawn" in text and "history.jsonl" in text for text in told.warnings
    )


def test_the_history_has_an_entry_for_every_epoch(trained):
    _, out, _ = trained
    lines = [json.loads(line) for line in (out / "seed-0" / "history.jsonl").open()]
    assert [(e["stage_name"], e["epoch"], e["step"]) for e in lines] == [
        ("network", 1, 5), ("network", 2, 10), ("network", 3, 15),
        ("classifier", 1, 5), ("classifier", 2, 10),
    ]  # fmt: skip
    assert all(e["images"] == 72 and 0 <= e["validation"]["accuracy"] <= 1 for e in lines)
    assert json.loads((out / "seed-0" / "result.json").read_text())["steps"] == 25


def test_stage_two_changes_nothing_but_the_classifier(colours, tmp_path):
    """Neither the features nor BatchNorm's statistics, although it sees other images."""
    from safetensors.torch import load_file

    found = []
    for stages in ("one", "two"):
        recipe = write_recipe(tmp_path / f"{stages}.yaml", colours)
        text = recipe.read_text()
        if stages == "one":
            recipe.write_text(text[: text.index("  - name: classifier")])
        synfill.train(recipe, out=tmp_path / stages, device="cpu")
        found.append(load_file(tmp_path / stages / "seed-0" / "model" / "model.safetensors"))
    one, two = found
    changed = {name for name in one if not np.array_equal(one[name], two[name])}
    assert changed and all(one[name].shape[0] == len(CLASSES) for name in changed)
    assert {name.split(".")[0] for name in changed} == {max(changed).split(".")[0]}


def test_the_same_settings_give_the_same_bytes_wherever_images_are_held(trained, tmp_path):
    recipe, out, _ = trained
    synfill.train(
        recipe, out=tmp_path / "again", overrides=["data.storage=stream", "data.workers=1"],
        device="cpu",
    )  # fmt: skip
    assert weights(tmp_path / "again") == weights(out) != weights(out, 1)
    assert not (tmp_path / "again" / ".synfill").exists()


def test_a_finished_seed_is_not_run_again_and_others_are_added(trained, tmp_path, colours):
    recipe = write_recipe(tmp_path / "recipe.yaml", colours)
    out = tmp_path / "out"
    synfill.train(recipe, out=out, device="cpu")
    before = (out / "seed-0" / "result.json").stat().st_mtime_ns
    result = synfill.train(recipe, out=out, seeds=(0, 3), device="cpu")
    assert (out / "seed-0" / "result.json").stat().st_mtime_ns == before
    assert list(result.results["recipe"]) == [0, 3]
    predictions = pq.read_table(out / "predictions.parquet")
    assert set(predictions["seed"].to_pylist()) == {0, 3}


@pytest.mark.usefixtures("with_pictures")
def test_comparing(recipe, tmp_path):
    out = tmp_path / "out"
    methods = ["ce", "oversample", "undersample", "synaug-mixup-retrain"]
    synfill.train(recipe, out=out, compare=methods[:2], seeds=(0, 1), device="cpu")
    before = (out / "ce" / "seed-1" / "result.json").stat().st_mtime_ns
    result = synfill.train(recipe, out=out, compare=methods, seeds=(0, 1), device="cpu")
    assert (out / "ce" / "seed-1" / "result.json").stat().st_mtime_ns == before
    entries = json.loads((out / "comparison.json").read_text())
    assert [entry["method"] for entry in entries] == methods == list(result.results)
    for entry in entries:
        values = entry["accuracy"]["values"]
        assert entry["seeds"] == [0, 1] and len(values) == 2
        assert entry["accuracy"]["mean"] == pytest.approx(sum(values) / 2)
        assert entry["many"] is None and entry["worst_cell"] is not None
        metrics = json.loads((out / entry["method"] / "metrics.json").read_text())
        assert metrics["test"]["accuracy"] == entry["accuracy"]
        made = sum(one["synthetic"] for one in metrics["test"]["per_class"])
        assert made == (22 if entry["method"].startswith("synaug") else 0)
    difference = entries[-1]["difference"]["accuracy"]["values"]
    assert difference == pytest.approx(
        np.subtract(entries[-1]["accuracy"]["values"], entries[0]["accuracy"]["values"]).tolist()
    )
    assert {"comparison.png", "class-sizes.png"} <= {path.name for path in out.iterdir()}
    assert (out / "ce" / "confusion.png").read_bytes()[:4] == b"\x89PNG"
    text = (out / "comparison.md").read_text()
    assert all(f"| {name}" in text or name in text for name in methods)


def test_every_mix_sampling_and_augmentation_trains(recipe, tmp_path):
    """One short stage for each; the losses are finite, or training would have stopped."""
    mixes = ("cutmix", "mixup-or-cutmix", "domain-mixup")
    augments = ("none", "crop", "randaugment", "trivialaugment")
    stages = [f"{{epochs: 1, batch_size: 16, mix: {mix}}}" for mix in mixes]
    stages += [f"{{epochs: 1, batch_size: 16, augment: {augment}}}" for augment in augments]
    stages += [
        "{epochs: 1, batch_size: 16, sampling: group-balanced, data: real}",
        "{steps: 3, batch_size: 16, optimizer: adamw, lr: 1e-3, data: synthetic}",
        "{steps: 3, batch_size: 16, optimizer: adam, lr: 1e-3, trainable: [layer3.*]}",
    ]
    overrides = [f"stages=[{', '.join(stages)}]", "data.validation=null"]
    synfill.train(recipe, out=tmp_path / "out", overrides=overrides, device="cpu")
    lines = [json.loads(line) for line in (tmp_path / "out/seed-0/history.jsonl").open()]
    assert len({line["stage"] for line in lines}) == len(stages)
    assert all(np.isfinite(line["loss"]) for line in lines)


def test_gradient_accumulation_changes_only_rounding(recipe, tmp_path):
    """Where BatchNorm doesn't look at the parts of a batch: in a frozen network."""
    stage = "{epochs: 2, batch_size: 16, trainable: classifier, augment: none, mix: mixup}"
    found = []
    for parts in (1, 3):
        out = tmp_path / f"out{parts}"
        overrides = [f"stages=[{stage}]", f"hardware.gradient_accumulation={parts}"]
        synfill.train(recipe, out=out, overrides=overrides, device="cpu")
        lines = [json.loads(line) for line in (out / "seed-0" / "history.jsonl").open()]
        found.append([(line["loss"], line["accuracy"]) for line in lines])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4)


def test_tensorboard_gets_the_history(recipe, tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard isn't installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    overrides = ["hardware.trackers=[tensorboard]"]
    synfill.train(recipe, out=tmp_path / "out", overrides=overrides, device="cpu")
    (folder,) = (tmp_path / "out" / "trackers").iterdir()
    events = EventAccumulator(str(folder)).Reload()
    lines = [json.loads(line) for line in (tmp_path / "out/seed-0/history.jsonl").open()]
    for name, key in (("train/loss", "loss"), ("train/lr", "lr")):
        told = [event.value for event in events.Scalars(name)]
        assert told == pytest.approx([line[key] for line in lines], rel=1e-5)
    told = [event.value for event in events.Scalars("validation/accuracy")]
    assert told == pytest.approx([line["validation"]["accuracy"] for line in lines])


def test_a_tracker_that_is_not_installed_is_told_before_the_start(recipe, tmp_path):
    if importlib.util.find_spec("wandb") is not None:
        pytest.skip("wandb is installed")
    with pytest.raises(UsageError, match="wandb, which isn't installed"):
        synfill.train(
            recipe, out=tmp_path / "out", overrides=["hardware.trackers=[wandb]"], device="cpu"
        )


def test_wandb_keeps_its_files_in_the_output_folder(recipe, tmp_path):
    pytest.importorskip("wandb", reason="wandb isn't installed")
    command = [sys.executable, "-m", "synfill", "train", str(recipe), "--out", "out"]
    command += ["--device", "cpu", "hardware.trackers=[wandb]"]
    bare = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
    bare |= {"HOME": str(tmp_path), "NETRC": str(tmp_path / "none")}
    refused = subprocess.run(
        command, env=bare, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert refused.returncode == 1
    assert "wandb, which can't log in" in refused.stderr
    assert not (tmp_path / "out").exists()
    offline = bare | {"WANDB_MODE": "offline"}
    subprocess.run(command, env=offline, cwd=tmp_path, check=True, capture_output=True)
    assert len(list((tmp_path / "out/trackers/wandb").glob("offline-run-*/run-*.wandb"))) == 1
    assert not (tmp_path / "wandb").exists()


def test_infinity_stops_the_run_and_says_where(recipe, tmp_path):
    overrides = ["stages.0.lr=1e30", "stages.0.warmup=0"]
    with pytest.raises(
        RunError, match=r"seed 0: the loss is (nan|inf) in stage 'network', epoch 1"
    ) as e:
        synfill.train(recipe, out=tmp_path / "out", overrides=overrides, device="cpu")
    assert "step" in e.value.message and "stages.0.lr=1e+29" in e.value.hint
    # What is advised can be done: the recipe takes it.
    advised = [word.strip("(),.") for word in e.value.hint.split() if word.startswith("(")]
    assert read_recipe(str(recipe), [*overrides, *advised]).stages[0].warmup == 0.1


def test_infinity_in_a_method_of_the_recipe(recipe, tmp_path):
    overrides = ["methods={mine: [{}, {lr: 1e30}]}", "stages.1.warmup=0", "compare=[mine]"]
    with pytest.raises(RunError, match=r"mine, seed 0: the loss is (nan|inf)") as e:
        synfill.train(recipe, out=tmp_path / "out", overrides=overrides, device="cpu")
    assert "methods.mine.1.lr=1e+29" in e.value.hint


def test_an_out_of_another_recipe_is_refused_and_left_alone(trained, colours, tmp_path):
    recipe, out, _ = trained
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match=r'model\.name: "resnet8" -> "resnet14"'):
        synfill.train(recipe, out=out, overrides=["model=resnet14"], device="cpu")
    with pytest.raises(UsageError, match=r"stages\.0\.epochs: 3 -> 4"):
        synfill.train(recipe, out=out, overrides=["stages.0.epochs=4"], device="cpu")
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match=r"is not empty.*thesis\.tex"):
        synfill.train(recipe, out=mine, device="cpu")
    assert [p.name for p in mine.iterdir()] == ["thesis.tex"]


def test_overwrite_replaces_results_and_leaves_other_files(colours, tmp_path):
    recipe = write_recipe(tmp_path / "recipe.yaml", colours)
    out = tmp_path / "out"
    synfill.train(recipe, out=out, device="cpu")
    first = weights(out)
    (out / "notes.txt").write_text("mine")
    synfill.train(
        recipe, out=out, overrides=["stages.0.lr=0.01"], overwrite=True, seeds=(0,), device="cpu"
    )
    assert weights(out) != first and (out / "notes.txt").read_text() == "mine"
    before = (out / "seed-0" / "result.json").stat().st_mtime_ns
    synfill.train(recipe, out=out, overrides=["stages.0.lr=0.01"], overwrite=True, device="cpu")
    assert (out / "seed-0" / "result.json").stat().st_mtime_ns == before


def test_overwrite_takes_nothing_that_it_did_not_write(recipe, tmp_path):
    out = tmp_path / "out"
    mine = ["seed-0/mine.txt", "seed-0/model/mine.txt", "seed-3/checkpoints/mine/1.bin", "a.txt"]
    for name in mine:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("mine")
    with pytest.raises(UsageError, match="is not empty"):
        synfill.train(recipe, out=out, device="cpu")
    for rate in (0.05, 0.01):
        overrides = [f"stages.0.lr={rate}"]
        synfill.train(recipe, out=out, overrides=overrides, overwrite=True, device="cpu")
        assert {(out / name).read_text() for name in mine} == {"mine"}
    synfill.train(recipe, out=out, compare=["ce"], overwrite=True, device="cpu")
    assert {(out / name).read_text() for name in mine} == {"mine"}


def test_images_that_are_left_out_are_listed_in_a_file(tmp_path):
    folder = make_imagefolder(tmp_path / "d", {"train": {"a": 9, "b": 9}, "test": {"a": 2, "b": 2}})
    for name in ("train/a/3.png", "test/b/1.png"):
        (folder / name).write_bytes(b"no image")
    recipe = tmp_path / "r.yaml"
    stage = "{steps: 1, batch_size: 4, data: real}"
    data = f"{{train: {folder}, on_bad_image: skip}}"
    recipe.write_text(f"name: r\ndata: {data}\nmodel: resnet8\nstages: [{stage}]\n")
    synfill.train(recipe, out=tmp_path / "out", device="cpu")
    lines = (tmp_path / "out/skipped.csv").read_text().splitlines()
    assert lines[0] == "role,image,reason" and len(lines) == 3
    assert lines[1].startswith("train,train/a/3.png,") and lines[2].startswith("test,test/b/1.png,")


def test_batch_normalization_on_single_images(recipe, tmp_path):
    run = {"overrides": ["stages.0.batch_size=1", "stages.0.warmup=0", "model=resnet18"]}
    with pytest.raises(UsageError, match="can't be trained on a single image") as e:
        synfill.train(recipe, out=tmp_path / "out", device="cpu", **run)
    assert "stages.0.batch_size=2" in e.value.hint and not (tmp_path / "out").exists()


def test_a_class_that_only_synthetic_images_show(colours, tmp_path):
    data = make_colours(tmp_path / "colours")
    path = data / "data" / "train-00000-of-00001.parquet"
    table = pq.read_table(path)
    is_first = pc.equal(table["label"], 0)
    pq.write_table(table.filter(pc.or_(pc.invert(is_first), table["synthetic"])), path)
    recipe = write_recipe(tmp_path / "recipe.yaml", data)
    with pytest.raises(UsageError, match=f"no training image has: '{CLASSES[0]}'") as e:
        synfill.train(recipe, out=tmp_path / "out", compare=["ce"], device="cpu")
    assert "--compare ce,synaug" in e.value.hint


@pytest.mark.usefixtures("with_pictures")
def test_overwrite_leaves_nothing_of_other_settings_in_the_folder(colours, tmp_path):
    recipe = write_recipe(tmp_path / "recipe.yaml", colours)
    out = tmp_path / "out"
    synfill.train(recipe, out=out, device="cpu")
    synfill.train(recipe, out=out, compare=["ce", "mixup"], device="cpu")
    changed = {"overrides": ["stages.0.lr=0.01"], "device": "cpu"}
    with pytest.raises(UsageError, match=r"stages\.0\.lr: 0.05 -> 0.01"):
        synfill.train(recipe, out=out, compare=["synaug"], **changed)
    synfill.train(recipe, out=out, compare=["synaug"], overwrite=True, **changed)
    assert sorted(path.name for path in out.iterdir()) == [
        "class-sizes.png", "comparison.json", "comparison.md", "comparison.png", "recipe.yaml",
        "run.json", "synaug",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("stages.1.trainable=[nosuch*]", r"stages\.1\.trainable.*nosuch"),
        ("data.synthetic=none", "no synthetic ones"),
        ("stages.0.batch_size=1000", "a batch size of 1000, but only 72 images"),
    ],
)
def test_what_would_stop_a_stage_is_found_before_the_first(recipe, tmp_path, override, words):
    with pytest.raises(UsageError, match=words):
        synfill.train(recipe, out=tmp_path / "out", overrides=[override], device="cpu")
    assert not (tmp_path / "out").exists()


def test_a_changed_dataset_is_noticed(tmp_path):
    data = make_colours(tmp_path / "colours")
    recipe = write_recipe(tmp_path / "recipe.yaml", data)
    synfill.train(recipe, out=tmp_path / "out", device="cpu")
    path = data / "data" / "test-00000-of-00001.parquet"
    table = pq.read_table(path)
    pq.write_table(table.slice(0, 25), path)
    with pytest.raises(UsageError, match="images"):
        synfill.train(recipe, out=tmp_path / "out", device="cpu")


def test_a_method_of_real_images_alone_makes_no_synthetic_ones(recipe, tmp_path, colours):
    """The recipe would have them made by a model that isn't there."""
    overrides = [
        "data.synthetic.balance={target: uniform, model: nobody/nothing}",
        f"data.train={colours}", "data.validation=null",
    ]  # fmt: skip
    result = synfill.train(
        recipe, out=tmp_path / "out", compare=["ce"], overrides=overrides, device="cpu"
    )
    assert result.subject.counts.synthetic == (0, 0, 0)
    assert not (tmp_path / "out" / "balanced").exists()


def steps_of(out, *methods):
    return [
        json.loads((out / name / "seed-0" / "result.json").read_text())["steps"]
        for name in methods
    ]  # fmt: skip


def test_every_method_of_a_comparison_takes_the_same_steps(recipe, tmp_path):
    methods = ["ce", "oversample", "undersample", "synaug", "recipe"]
    out = tmp_path / "out"
    result = synfill.train(recipe, out=out, compare=methods, device="cpu")
    assert steps_of(out, *methods) == [15, 15, 15, 15, 25]
    assert result.comparison.subject.budget == "steps"
    assert {entry["budget"] for entry in json.loads((out / "comparison.json").read_text())} == {
        "steps"
    }
    # Alone, it is compared with what the recipe's own stages would see all the same.
    again = synfill.train(recipe, out=tmp_path / "alone", compare=["ce"], device="cpu")
    assert steps_of(tmp_path / "alone", "ce") == [15]
    assert again.results["ce"][0].test == result.results["ce"][0].test
    per_epoch = synfill.train(
        recipe, out=tmp_path / "epochs", compare=methods[:4], overrides=["budget=epochs"],
        device="cpu",
    )  # fmt: skip
    # 50 real images in batches of 16, the last two left to themselves; 12 of undersampling.
    assert steps_of(tmp_path / "epochs", *methods[:4]) == [12, 12, 3, 15]
    assert per_epoch.comparison.subject.budget == "epochs"


def test_only_methods_whose_steps_change_are_other_methods(recipe, tmp_path):
    """A folder of a version that knew no budget: each method made its own epochs."""
    out = tmp_path / "out"
    methods = ["ce", "synaug"]
    synfill.train(recipe, out=out, compare=methods, overrides=["budget=epochs"], device="cpu")
    for name in methods:
        assert "epoch_steps" not in json.loads((out / name / "method.json").read_text())
    before = (out / "synaug" / "seed-0" / "result.json").stat().st_mtime_ns
    synfill.train(recipe, out=out, compare=["synaug", "recipe"], device="cpu")
    assert (out / "synaug" / "seed-0" / "result.json").stat().st_mtime_ns == before
    with pytest.raises(UsageError, match=r"epoch_steps: null -> \[5\]") as error:
        synfill.train(recipe, out=out, compare=methods, device="cpu")
    assert "budget=epochs takes up results" in error.value.hint


def test_thousands_of_passes_over_a_few_images_are_told_together(recipe, tmp_path, monkeypatch):
    from synfill.training.stage import descent

    monkeypatch.setattr(descent, "_MOST_ENTRIES", 4)
    overrides = ["stages=[{steps: 30, batch_size: 16, sampling: undersample}]"]
    synfill.train(recipe, out=tmp_path / "out", overrides=overrides, device="cpu")
    lines = [json.loads(line) for line in (tmp_path / "out/seed-0/history.jsonl").open()]
    told = [(line["epoch"], line["step"], line["images"]) for line in lines]
    assert told == [(2, 10, 144), (4, 20, 144), (6, 30, 144)]


@pytest.mark.parametrize(
    "override",
    [
        "data.train=./nowhere", "data.test.source=./nowhere",
        "data.synthetic={balance: {target: uniform, model: ./nowhere}}",
        "data.synthetic={balance: {target: uniform, prompts: ./nowhere}}",
    ],
)  # fmt: skip
def test_a_path_that_is_not_there_comes_before_other_settings(trained, override):
    recipe, out, _ = trained
    with pytest.raises(UsageError, match=r"There is no .*nowhere") as error:
        synfill.train(recipe, out=out, overrides=[override], device="cpu")
    assert "other settings" not in error.value.message


class Told(LogReporter):
    """Keeps what a run says."""

    def __init__(self):
        self.warnings = []

    def warn(self, message):
        self.warnings.append(message)


@pytest.fixture
def finished(trained, tmp_path):
    """A copy of the finished run, to be spoiled."""
    recipe, out, _ = trained
    return recipe, shutil.copytree(out, tmp_path / "copy")


@pytest.mark.parametrize("spoil", ["keys", "cut", "pipe", "gone-history"])
def test_a_result_in_another_form_is_no_reason_to_train(finished, spoil):
    recipe, out = finished
    path = out / "seed-0" / "result.json"
    content = json.loads(path.read_text())
    metrics = json.loads((out / "metrics.json").read_text())
    path.unlink()
    match spoil:
        case "keys":
            # As of a version that knew other figures.
            del content["test"]["macro_f1"]
            path.write_text(json.dumps(content | {"new": 1}))
        case "cut":
            path.write_text(json.dumps(content)[:200])
        case "pipe":
            os.mkfifo(path)
        case "gone-history":
            (out / "seed-0" / "history.jsonl").unlink()
            path.write_text(json.dumps(content))
    (out / "metrics.json").write_text("{}")
    before = (out / "seed-0/model/model.safetensors").stat().st_mtime_ns
    told = Told()
    synfill.train(recipe, out=out, seeds=(0, 1), device="cpu", reporter=told)
    assert (out / "seed-0/model/model.safetensors").stat().st_mtime_ns == before
    assert not any("trained again" in text for text in told.warnings)
    again = json.loads((out / "metrics.json").read_text())
    for key in ("test", "validation", "steps", "images_seen", "seconds"):
        assert again[key] == metrics[key], key


def test_where_nothing_says_what_it_took_both_files_are_named(finished):
    recipe, out = finished
    (out / "seed-0" / "result.json").write_text("{}")
    (out / "seed-0" / "history.jsonl").write_text("[1]")
    with pytest.raises(RunError, match=r"result\.json is damaged"):
        synfill.train(recipe, out=out, device="cpu")


def spoil_predictions(out, change):
    path = out / "seed-0" / "predictions.parquet"
    pq.write_table(change(pq.read_table(path)), path)


def other_column(table, name, values):
    return table.set_column(table.schema.get_field_index(name), name, values)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda out: (out / "seed-0/predictions.parquet").unlink(), "there is no"),
        (lambda out: os.truncate(out / "seed-0/predictions.parquet", 300), "can't be used"),
        (lambda out: spoil_predictions(out, lambda t: t.slice(1)), "images are others"),
        (
            lambda out: spoil_predictions(
                out, lambda t: other_column(t, "seed", pa.array([5] * len(t)))
            ),
            "isn't of seed 0",
        ),
        (
            lambda out: spoil_predictions(
                out,
                lambda t: other_column(t, "probabilities", pa.array([[0.5, 0.5]] * len(t))),
            ),
            "its column probabilities is of another type",
        ),
        (lambda out: (out / "seed-0/model/model.safetensors").unlink(), "holds no weights"),
        (lambda out: (out / "seed-0/model/model.safetensors").write_bytes(b"x"), "is damaged"),
        (lambda out: (out / "seed-0/model/config.json").write_text("{"), "is damaged"),
    ],
)  # fmt: skip
def test_a_seed_whose_model_or_predictions_are_spoiled_is_trained_again(finished, spoil, words):
    recipe, out = finished
    expected = weights(out)
    spoil(out)
    told = Told()
    synfill.train(recipe, out=out, seeds=(0, 1), device="cpu", reporter=told)
    (warning,) = [text for text in told.warnings if "trained again" in text]
    assert words in warning and "recipe, seed 0 was finished before" in warning
    assert weights(out) == expected


def test_a_damaged_checkpoint_is_told_and_the_run_goes_on_to_the_same_bytes(recipe, tmp_path):
    out = tmp_path / "out"
    synfill.train(recipe, out=tmp_path / "whole", device="cpu")

    class Stop(LogReporter):
        def progress(self, stage, *rest):
            if "classifier" in stage:
                raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        synfill.train(recipe, out=out, device="cpu", reporter=Stop())
    folders = sorted((out / "seed-0" / "checkpoints").iterdir())
    assert [folder.name for folder in folders] == ["stage-0-epoch-2", "stage-0-epoch-3"]
    state = json.loads((folders[0] / "state.json").read_text())
    state["versions"][0]["torch"] = "1.0"
    (folders[0] / "state.json").write_text(json.dumps(state))
    (folders[1] / "state.json").write_text("{}")
    told = Told()
    synfill.train(recipe, out=out, device="cpu", reporter=told)
    damaged, upgraded = told.warnings
    assert damaged.startswith("recipe, seed 0: The checkpoint") and "the one before" in damaged
    assert "torch 1.0 ->" in upgraded
    assert weights(out) == weights(tmp_path / "whole")
    versions = json.loads((out / "seed-0/result.json").read_text())["versions"]
    assert [one["torch"] == "1.0" for one in versions] == [True, False]
    assert json.loads((out / "metrics.json").read_text())["versions"] == [versions]
