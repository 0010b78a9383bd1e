from __future__ import annotations

import json
import os
import pickle
from dataclasses import replace

import pytest
import torch

from synfill.config.recipes.settings import StageSettings
from synfill.runs.versions import TRAINING, versions
from synfill.training.stage.checkpoint import Checkpoint, CheckpointFolder, check_checkpoint


def checkpoint(stage, epoch, value=1.0):
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    weights = {"weight": torch.full((2, 3), value).t(), "steps": torch.tensor(7)}
    entries = [entry(before, 1) for before in range(stage)] + [entry(stage, epoch, value)]
    return Checkpoint(stage, epoch, 10 * epoch, weights, optimizer.state_dict(), entries)


def entry(stage, epoch, loss=1.0):
    return {
        "stage": stage + 1, "stage_name": "s", "epoch": epoch, "epochs": 20, "step": 10 * epoch,
        "lr": 0.1, "loss": loss, "accuracy": 0.5, "images": 30, "seconds": 0.1,
        "images_per_second": 300.0,
    }  # fmt: skip


def test_what_was_saved_is_loaded_and_the_newest_two_are_kept(tmp_path):
    folder = CheckpointFolder(tmp_path / "checkpoints")
    assert folder.load() is None
    for stage, epoch in ((0, 1), (0, 2), (0, 10), (1, 1)):
        folder.save(checkpoint(stage, epoch, value=stage + epoch / 100))
    loaded = folder.load()
    assert (loaded.stage, loaded.epoch, loaded.step) == (1, 1, 10)
    torch.testing.assert_close(loaded.weights["weight"], torch.full((3, 2), 1.01))
    assert loaded.weights["steps"] == 7 and loaded.history[-1]["loss"] == 1.01
    buffer = loaded.optimizer["state"][0]["momentum_buffer"]
    torch.testing.assert_close(buffer, torch.ones(2, 3))
    kept = sorted(child.name for child in (tmp_path / "checkpoints").iterdir())
    assert kept == ["stage-0-epoch-10", "stage-1-epoch-1"]


def test_one_that_was_being_written_is_not_there(tmp_path):
    folder = CheckpointFolder(tmp_path)
    folder.save(checkpoint(0, 1))
    half = tmp_path / ".stage-0-epoch-2.tmp"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    assert folder.load().epoch == 1
    folder.save(checkpoint(0, 2))
    assert folder.load().epoch == 2


NAMES = ["model.safetensors", "optimizer.pt", "state.json"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", ["gone", "cut", "noise", "pipe", "folder", "bit"])
def test_a_damaged_one_is_passed_over_for_the_one_before(tmp_path, name, damage):
    folder = CheckpointFolder(tmp_path)
    folder.save(checkpoint(0, 2))
    folder.save(checkpoint(0, 3))
    file = tmp_path / "stage-0-epoch-3" / name
    content = bytearray(file.read_bytes())
    file.unlink()
    match damage:
        case "cut":
            file.write_bytes(content[: len(content) // 2])
        case "noise":
            file.write_bytes(b"\x00\xff" * 40)
        case "pipe":
            os.mkfifo(file)
        case "folder":
            file.mkdir()
        case "bit":
            # Of the weights' last number; of state.json the step.
            at = content.index(b'"step": 30') + 8 if name == "state.json" else len(content) // 2
            content[at] ^= 1
            file.write_bytes(content)
    told = []
    loaded = folder.load(warn=told.append)
    assert loaded.epoch == 2 and len(told) == 1
    assert "stage-0-epoch-3 is damaged" in told[0] and "going on from the one before" in told[0]


def test_without_another_one_it_is_the_start(tmp_path):
    folder = CheckpointFolder(tmp_path)
    folder.save(checkpoint(0, 1))
    (tmp_path / "stage-0-epoch-1" / "state.json").write_text("[]")
    told = []
    assert folder.load(warn=told.append) is None
    assert "going on from the start" in told[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"step": "30"}, {"step": -1}, {"step": 31}, {"history": None}, {"history": [{}]},
        {"history": []}, {"versions": 3}, {"versions": [3]}, {"history": [[1]]}, {"step": None},
    ],
)  # fmt: skip
def test_a_state_that_says_nonsense_is_damaged(tmp_path, changes):
    folder = CheckpointFolder(tmp_path)
    folder.save(checkpoint(0, 3))
    path = tmp_path / "stage-0-epoch-3" / "state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    told = []
    assert folder.load(warn=told.append) is None and "is damaged" in told[0]


def test_one_of_an_earlier_version_is_read(tmp_path):
    folder = CheckpointFolder(tmp_path)
    folder.save(checkpoint(0, 3))
    path = tmp_path / "stage-0-epoch-3" / "state.json"
    state = json.loads(path.read_text())
    path.write_text(json.dumps({"step": state["step"], "history": state["history"]}))
    told = []
    assert CheckpointFolder(tmp_path).load(warn=told.append).epoch == 3 and not told


def test_an_upgrade_in_between_is_told_and_kept(tmp_path):
    folder = CheckpointFolder(tmp_path)
    folder.save(checkpoint(0, 3))
    path = tmp_path / "stage-0-epoch-3" / "state.json"
    state = json.loads(path.read_text())
    state["versions"][0]["torch"] = "2.0.0"
    path.write_text(json.dumps(state))
    told = []
    again = CheckpointFolder(tmp_path)
    assert again.load(warn=told.append).epoch == 3
    assert f"torch 2.0.0 -> {torch.__version__.partition('+')[0]}" in told[0]
    assert [one["torch"] for one in again.versions] == ["2.0.0", versions(TRAINING)["torch"]]
    again.save(checkpoint(0, 4))
    told.clear()
    last = CheckpointFolder(tmp_path)
    last.load(warn=told.append)
    assert not told and last.versions == again.versions


def test_one_of_another_network_or_stage_is_told_apart():
    found = checkpoint(0, 1)
    model = torch.nn.Linear(3, 2)
    stages = [StageSettings(epochs=20)]
    with pytest.raises(ValueError, match="another network"):
        check_checkpoint(found, model, stages)
    own = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    fitting = replace(found, weights=own)
    check_checkpoint(fitting, model, stages)
    own["bias"][0] = float("nan")
    with pytest.raises(ValueError, match="aren't finite"):
        check_checkpoint(fitting, model, stages)
    own["bias"] = torch.zeros(3)
    with pytest.raises(ValueError, match="another shape"):
        check_checkpoint(fitting, model, stages)
    own["bias"] = torch.zeros(2)
    with pytest.raises(ValueError, match="a stage that there isn't"):
        check_checkpoint(replace(fitting, stage=1), model, stages)
    for state in ({7: {}}, {0: {"momentum_buffer": torch.zeros(9)}}, None):
        with pytest.raises(ValueError, match="another stage"):
            check_checkpoint(replace(fitting, optimizer={"state": state}), model, stages)


class Evil:
    def __reduce__(self):
        return (open, ("/dev/null",))


def test_nothing_in_it_can_run_code(tmp_path):
    folder = CheckpointFolder(tmp_path)
    folder.save(checkpoint(0, 1))
    path = tmp_path / "stage-0-epoch-1" / "state.json"
    state = json.loads(path.read_text())
    del state["sha256"]
    path.write_text(json.dumps(state))
    torch.save({"state": Evil()}, tmp_path / "stage-0-epoch-1" / "optimizer.pt")
    told = []
    assert folder.load(warn=told.append) is None
    (tmp_path / "stage-0-epoch-1" / "optimizer.pt").write_bytes(pickle.dumps(Evil()))
    assert folder.load(warn=told.append) is None
    assert len(told) == 2 and all("Weights only load failed" in text for text in told)


def test_a_losss_state_is_kept_beside_the_weights(tmp_path):
    folder = CheckpointFolder(tmp_path)
    folder.save(checkpoint(0, 2))
    assert folder.load().loss == {}
    state = {"temperature": torch.tensor([2.0, 3.0])}
    folder.save(replace(checkpoint(0, 3), loss=state))
    assert torch.equal(folder.load().loss["temperature"], state["temperature"])
    model = torch.nn.Linear(3, 2)
    own = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = replace(folder.load(), weights=own)
    stages = [StageSettings(epochs=20)]
    with pytest.raises(ValueError, match="those of another loss"):
        check_checkpoint(found, model, stages)

    class Loss(torch.nn.Module):
        def __init__(self, values):
            super().__init__()
            self.temperature = torch.nn.Parameter(torch.ones(values))

    check_checkpoint(found, model, stages, lambda stage: Loss(2))
    with pytest.raises(ValueError, match="loss's state temperature have another shape"):
        check_checkpoint(found, model, stages, lambda stage: Loss(3))
    (tmp_path / "stage-0-epoch-3" / "loss.safetensors").unlink()
    warnings = []
    assert folder.load(warn=warnings.append).epoch == 2 and "is damaged" in warnings[0]
