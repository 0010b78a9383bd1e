"""Damaged records of a run: named, mended from what is left, or replaced with --overwrite."""

import json
import os

import pytest
from output_fixtures import IDENTITY, WHOLE, begin, files, finish, open_store

from synfill.errors import RunError
from synfill.runs.dataset_folder import DatasetFolder

OTHER = IDENTITY | {"seed": 1}


def state_of(path, identity=IDENTITY, overwrite=False):
    return DatasetFolder(path).state(identity, overwrite)


@pytest.mark.parametrize(
    "content",
    ["{", "[]", "null", "0", "{}", '{"identity": null}', '{"identity": {}, "splits": []}',
     '{"identity": {}, "counts": {}}', "[" * 5000, "\ud800", "folder", "pipe"],
)  # fmt: skip
def test_a_damaged_run_json_is_told(tmp_path, content):
    finish(tmp_path)
    path = tmp_path / "synfill/run.json"
    damage(path, content)
    with pytest.raises(RunError, match=r"run\.json is damaged") as told:
        state_of(tmp_path)
    assert "--overwrite" in told.value.hint
    assert state_of(tmp_path, overwrite=True) == "new"
    if content not in ("folder", "pipe"):
        finish(tmp_path, overwrite=True)
        assert state_of(tmp_path) == "finished"
    assert files(tmp_path) - {"synfill/run.json"} == WHOLE - {"synfill/run.json"}


def damage(path, content):
    path.unlink()
    if content == "folder":
        path.mkdir()
    elif content == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(content.encode("utf-8", "surrogatepass"))


DAMAGED = [
    "{", "[]", "null", "{}", '{"identity": []}', "folder", "pipe", "missing",
    {"shard_size": -32}, {"shard_size": 0}, {"shard_size": None}, {"shard_size": 64},
    {"shard_size": "32"}, {"shard_size": 16}, {"batch_size": 0}, {"batch_size": 48},
    {"identity": None}, {"versions": []}, {"shards": "../../x"},
]  # fmt: skip


@pytest.mark.parametrize("change", DAMAGED, ids=str)
def test_a_damaged_state_is_made_again_from_the_shards(tmp_path, change):
    folder, _ = begin(tmp_path, shards=(0, 1))
    folder.release()
    path = tmp_path / ".synfill/state.json"
    if change == "missing":
        path.unlink()
    elif isinstance(change, dict):
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
    else:
        damage(path, change)
    folder, state = begin(tmp_path, shards=())
    assert state == "resume"
    again = open_store(folder)
    assert again.finished() == [0, 1]
    remembered = json.loads(path.read_text())
    assert (remembered["batch_size"], remembered["shard_size"]) == (4, 32)
    folder.release()


@pytest.mark.parametrize("change", ["{", "null", "{}", "pipe", "missing"])
def test_a_damaged_state_of_another_run_is_named(tmp_path, change):
    folder, _ = begin(tmp_path, shards=(0, 1))
    folder.release()
    path = tmp_path / ".synfill/state.json"
    if change == "missing":
        path.unlink()
    else:
        damage(path, change)
    with pytest.raises(RunError, match=r"state\.json") as told:
        state_of(tmp_path, OTHER)
    assert "--overwrite" in told.value.hint
    finish(tmp_path, OTHER, overwrite=True)
    assert state_of(tmp_path, OTHER) == "finished"


@pytest.mark.parametrize("content", ["{", "null", '{"identity": {}, "old": ["../x"]}', "pipe"])
def test_a_damaged_journal_is_named(tmp_path, content):
    folder, _ = begin(tmp_path / "out")
    (tmp_path / "x").write_text("mine")
    (folder.work / "commit.json").touch()
    damage(folder.work / "commit.json", content)
    folder.release()
    again = DatasetFolder(tmp_path / "out")
    again.state(IDENTITY, False)
    with pytest.raises(RunError, match=r"commit\.json is damaged"):
        again.take()
    finish(tmp_path / "out", overwrite=True)
    assert files(tmp_path) == {f"out/{name}" for name in WHOLE} | {"x"}
