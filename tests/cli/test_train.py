"""`synfill train` as a user runs it: killed, stopped with Ctrl-C, in several processes."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from training_fixtures import make_colours, write_recipe

import synfill


@pytest.fixture(scope="module")
def colours(tmp_path_factory):
    return make_colours(tmp_path_factory.mktemp("colours") / "colours")


@pytest.fixture
def recipe(colours, tmp_path):
    return write_recipe(tmp_path / "recipe.yaml", colours)


def results(out):
    """Everything that must not depend on an interruption."""
    lines = [json.loads(line) for line in (out / "seed-0" / "history.jsonl").open()]
    timeless = [
        {k: v for k, v in line.items() if k not in ("seconds", "images_per_second")}
        for line in lines
    ]
    model = (out / "seed-0" / "model" / "model.safetensors").read_bytes()
    return timeless, model, (out / "predictions.parquet").read_bytes()


def test_a_killed_run_goes_on_as_if_nothing_had_been(recipe, tmp_path, forker):
    overrides = ["stages.0.epochs=12", "stages.1.epochs=6"]
    arguments = [str(recipe), *overrides, "-q"]
    synfill.train(recipe, overrides=overrides, out=tmp_path / "whole")
    expected = results(tmp_path / "whole")
    out = tmp_path / "killed"
    chance, kills, seen = random.Random(3), 0, set()
    while True:
        process = forker.start(["train", *arguments, "--out", out])
        checkpoints = out / "seed-0" / "checkpoints"
        # Killed after one to four more epochs: starting is most of such a short run.
        wanted = len(seen) + chance.randint(1, 4)
        while process.poll() is None and kills < 3:
            if checkpoints.is_dir():
                seen |= {p.name for p in checkpoints.iterdir() if p.name.startswith("stage")}
            if len(seen) >= wanted:
                process.kill()
                kills += 1
                break
            time.sleep(0.005)
        if process.wait() == 0:
            break
    assert kills >= 2
    assert results(out) == expected
    assert not (out / "seed-0" / "checkpoints").exists()


def test_ctrl_c_ends_with_130_and_keeps_the_epochs(recipe, tmp_path, forker):
    out = tmp_path / "out"
    process = forker.start(["train", recipe, "stages.0.epochs=500", "--out", out])
    history = out / "seed-0" / "history.jsonl"
    while not history.exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate()
    assert process.returncode == 130, told
    assert "Every finished epoch is kept" in told and "Traceback" not in told
    assert list((out / "seed-0" / "checkpoints").glob("stage-*"))


def test_a_full_disk_is_said_and_the_same_command_goes_on(recipe, tmp_path, cli, forker):
    arguments = ["train", recipe, "--out", tmp_path / "out", "-q"]
    # A checkpoint is larger: writing one fails as on a full disk.
    full = forker.run(arguments, largest_file=150_000)
    assert full.returncode == 1 and "The disk is full" in full.stderr, full.stderr
    assert "same command again" in full.stderr and "mistake" not in full.stderr
    assert cli(*arguments).code == 0


def test_two_processes_train_like_one(recipe, colours, tmp_path):
    """gloo, on the CPU: the same batches, so nearly the same network; one of them speaks."""
    overrides = ["stages=[{epochs: 8, batch_size: 16, lr: 0.05, augment: none}]"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone",
              "--nproc_per_node", "2", "-m", "synfill", "train"]  # fmt: skip
    arguments = [str(recipe), *overrides, "--device", "cpu"]
    synfill.train(recipe, overrides=overrides, device="cpu", out=tmp_path / "one")
    two = subprocess.run(
        [*launch, *arguments, "--out", str(tmp_path / "two")],
        check=True, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert two.stdout.count("on the test images") == 1
    assert "Training in 2 processes" in two.stderr
    found = [json.loads((tmp_path / n / "metrics.json").read_text()) for n in ("one", "two")]
    assert found[0]["steps"] == found[1]["steps"]
    assert found[0]["images_seen"] == found[1]["images_seen"]
    one, other = (result["test"]["accuracy"]["mean"] for result in found)
    # BatchNorm sees half a batch in each: within noise, not the same.
    assert abs(one - other) <= 0.2 and min(one, other) > 0.5
    lines = [(tmp_path / n / "seed-0" / "history.jsonl").read_text().splitlines()
             for n in ("one", "two")]  # fmt: skip
    last = [json.loads(line[-1])["loss"] for line in lines]
    assert last[0] == pytest.approx(last[1], abs=0.25)
    # Both processes measured their images with the network that was saved.
    images = pq.read_table(colours / "data/test-00000-of-00001.parquet")["image"].to_pylist()
    classifier = synfill.load_classifier(tmp_path / "two/seed-0/model", device="cpu")
    table = pq.read_table(tmp_path / "two/predictions.parquet").to_pandas()
    told = np.stack(table[table.split == "test"].sort_values("row").probabilities)
    expected = classifier.predict([image["bytes"] for image in images])
    np.testing.assert_allclose(told, expected, atol=1e-6)


def test_what_it_prints(recipe, tmp_path, cli):
    ran = cli("train", recipe, "stages.0.epochs=2", "--out", tmp_path / "out", "--device", "cpu")
    assert ran.code == 0, ran.err
    assert "colours on the test images" in ran.out and "worst cell" in ran.out
    assert f"synfill predict {tmp_path / 'out' / 'seed-0' / 'model'}" in "".join(
        ran.out.split("\n")
    )
    assert "images/s" in ran.err and "accuracy" in ran.err
    ran = cli("train", recipe, "--compare", "ce,synaug", "--out", tmp_path / "compared")
    assert ran.code == 0, ran.err
    assert "synaug against ce" in ran.out and "comparison.md" in ran.out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--device", "cuda"], 2, "isn't there"),
        (["--seeds", "a"], 2, "seeds: takes whole numbers"),
        (["--compare", "ce,synaugg"], 2, "did you mean 'synaug'"),
        (["--compare", ""], 2, "empty"),
        (["stages.0.batch_size=1000"], 2, "but only 72 images"),
        (["data.test=tset"], 2, "Did you mean 'test'"),
        (["data.train=nowhere"], 2, "nowhere"),
        (["model=resnet33"], 2, "resnet3"),
        (["stages.0.epoch=3"], 2, "epochs"),
        (["--push-to-hub", "--compare", "ce"], 2, "Leave --compare out"),
        (["--repo-id", "a/b"], 2, "--push-to-hub"),
    ],
)
def test_bad_input_is_one_message(recipe, tmp_path, cli, arguments, code, words):
    import torch

    if "cuda" in arguments and torch.cuda.is_available():
        pytest.skip("here is a GPU")
    ran = cli("train", recipe, "--out", tmp_path / "out", *arguments)
    assert ran.code == code, ran.err
    assert words in " ".join(ran.err.split())
    assert not (tmp_path / "out" / "seed-0").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["stages.0.epoch=3"], "did you mean 'epochs'"),
        (["data.train=nowhere"], "nowhere"),
        (["--nonsense"], "No such option"),
    ],
)
def test_of_several_processes_one_tells_what_is_wrong(recipe, tmp_path, arguments, words, forker):
    command = ["train", recipe, "--out", tmp_path / "out", *arguments]
    told = []
    for rank in ("0", "1"):
        # As torchrun and accelerate start them; both end before they wait for each other.
        env = os.environ | {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2"}
        ran = forker.run(command, environment=env)
        assert ran.returncode == 2, ran.stderr
        told.append(ran.stderr + ran.stdout)
    assert words in " ".join(told[0].split()) and told[1] == ""


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_a_wide_table_is_cut_between_columns_never_inside_a_name(width, monkeypatch):
    from results_fixtures import COUNTS, make_result
    from rich.console import Console

    from synfill.cli import train
    from synfill.config.components import METHODS
    from synfill.config.recipes.read import read_recipe
    from synfill.evaluation.comparison import Subject, compare
    from synfill.training.request import TrainResult

    results = {
        name: {seed: make_result(seed, (9, 7 - seed, at % 7)) for seed in range(3)}
        for at, name in enumerate(METHODS.names)
    }
    subject = Subject("demo", "demo", COUNTS, 30)
    result = TrainResult(
        Path("runs/demo"), read_recipe("demo"), results, subject, compare(subject, results)
    )
    console = Console(width=width, record=True, file=io.StringIO())
    monkeypatch.setattr(train, "stdout", lambda: console)
    train.show(result)
    text = console.export_text()
    assert "(budget: steps)" in " ".join(text.splitlines()[:2])
    table = text[: text.index("mixup against ce")]
    lines = [line.rstrip() for line in table.splitlines()]
    assert max(map(len, lines)) <= width
    for name in METHODS.names:
        # Its first part tells the steps, and there are as many parts for each.
        assert sum(line.startswith(f"{name} ") for line in lines) == table.count("\nce ")
    values = [line for line in lines if line.startswith("synaug-mixup-retrain-real ")]
    assert values[0].split()[1] == "100" and sum(line.count("±") for line in values) == 6
    assert len(lines) == 1 + len(values) * (1 + len(METHODS.names)) + len(values) + (width < 100)
