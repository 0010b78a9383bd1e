from __future__ import annotations

import pickle

import pytest
import torch

from synfill.errors import RunError
from synfill.training.checkpoint import Checkpoint, CheckpointFolder


def checkpoint(stage, epoch, value=1.0):
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    weights = {"weight": torch.full((2, 3), value).t(), "steps": torch.tensor(7)}
    return Checkpoint(stage, epoch, 10 * epoch, weights, optimizer.state_dict(), [{"loss": value}])


def test_what_was_saved_is_loaded_and_only_the_newest_is_kept(tmp_path):
    folder = CheckpointFolder(tmp_path / "checkpoints")
    assert folder.load() is None
    for stage, epoch in ((0, 1), (0, 2), (0, 10), (1, 1)):
        folder.save(checkpoint(stage, epoch, value=stage + epoch / 100))
    loaded = folder.load()
    assert (loaded.stage, loaded.epoch, loaded.step) == (1, 1, 10)
    torch.testing.assert_close(loaded.weights["weight"], torch.full((3, 2), 1.01))
    assert loaded.weights["steps"] == 7 and loaded.history == [{"loss": 1.01}]
    buffer = loaded.optimizer["state"][0]["momentum_buffer"]
    torch.testing.assert_close(buffer, torch.ones(2, 3))
    assert [child.name for child in (tmp_path / "checkpoints").iterdir()] == ["stage-1-epoch-1"]


def test_one_that_was_being_written_is_not_there(tmp_path):
    folder = CheckpointFolder(tmp_path)
    folder.save(checkpoint(0, 1))
    half = tmp_path / ".stage-0-epoch-2.tmp"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    assert folder.load().epoch == 1
    folder.save(checkpoint(0, 2))
    assert folder.load().epoch == 2


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "state.json"])
@pytest.mark.parametrize("damage", ["gone", "cut", "noise"])
def test_a_damaged_one_says_so(tmp_path, name, damage):
    folder = CheckpointFolder(tmp_path)
    folder.save(checkpoint(0, 3))
    file = tmp_path / "stage-0-epoch-3" / name
    content = file.read_bytes()
    file.unlink()
    if damage != "gone":
        file.write_bytes(content[: len(content) // 2] if damage == "cut" else b"\x00\xff" * 40)
    with pytest.raises(RunError, match="stage-0-epoch-3 can't be read"):
        folder.load()


class Evil:
    def __reduce__(self):
        return (open, ("/dev/null",))


def test_nothing_in_it_can_run_code(tmp_path):
    folder = CheckpointFolder(tmp_path)
    folder.save(checkpoint(0, 1))
    torch.save({"state": Evil()}, tmp_path / "stage-0-epoch-1" / "optimizer.pt")
    with pytest.raises(RunError, match="can't be read"):
        folder.load()
    (tmp_path / "stage-0-epoch-1" / "optimizer.pt").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(RunError, match="can't be read"):
        folder.load()
