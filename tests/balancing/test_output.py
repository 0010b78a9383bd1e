"""The output folder's states, and a process that dies anywhere in the last step."""

import json
import os

import pytest

from synfill.balancing import output
from synfill.balancing.output import OutputFolder
from synfill.errors import RunError, UsageError

IDENTITY = {"target": "uniform", "size": [64, 64], "seed": 0}


class Died(Exception):
    pass


def begin(path, identity=IDENTITY, overwrite=False):
    folder = OutputFolder(path)
    state = folder.state(identity, overwrite)
    folder.begin(state, {"identity": identity})
    folder.shards.mkdir(exist_ok=True)
    (folder.shards / "shard-000000.parquet").write_text("shard")
    return folder, state


def assemble(folder, identity=IDENTITY, entry="data"):
    info = folder.final / "synfill"
    info.mkdir(parents=True)
    (folder.final / entry).mkdir()
    (folder.final / entry / "rows").write_text(json.dumps(identity))
    (folder.final / "README.md").write_text("card")
    (info / "plan.parquet").write_text("plan")
    record = {"identity": identity, "entries": sorted(p.name for p in folder.final.iterdir())}
    (info / "run.json").write_text(json.dumps(record))


def files(path):
    found = {p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()}
    return found - {".synfill/lock"}


WHOLE = {"README.md", "data/rows", "synfill/plan.parquet", "synfill/run.json"}


def test_a_run_from_start_to_end(tmp_path):
    out = tmp_path / "out"
    folder, state = begin(out)
    assert state == "new"
    folder.release()
    folder, state = begin(out)
    assert state == "resume"
    assemble(folder)
    folder.commit()
    assert files(out) == WHOLE
    assert OutputFolder(out).state(IDENTITY, overwrite=False) == "finished"
    assert OutputFolder(out).state(IDENTITY, overwrite=True) == "new"


@pytest.mark.parametrize("earlier", [False, True])
@pytest.mark.parametrize("step", range(14))
def test_dying_anywhere_in_the_last_step_loses_nothing(tmp_path, monkeypatch, step, earlier):
    out = tmp_path / "out"
    if earlier:
        folder, _ = begin(out, IDENTITY | {"seed": 1})
        assemble(folder, IDENTITY | {"seed": 1}, entry="train")
        folder.commit()
    folder, _ = begin(out, overwrite=True)
    assemble(folder)
    left = step

    def dying(original):
        def call(*arguments):
            nonlocal left
            if left == 0:
                raise Died
            left -= 1
            return original(*arguments)

        return call

    with monkeypatch.context() as patched:
        patched.setattr(output.os, "replace", dying(os.replace))
        patched.setattr(output, "_remove", dying(output._remove))
        try:
            folder.commit()
        except Died:
            folder.release()
    again = OutputFolder(out)
    state = again.state(IDENTITY, overwrite=False)
    if state == "resume":
        again.begin(state, {"identity": IDENTITY})
        assert (again.shards / "shard-000000.parquet").exists()
        assemble(again)
        again.commit()
    else:
        assert state == "finished"
        again.read_record()
    assert files(out) == WHOLE


def test_another_identity_is_named(tmp_path):
    folder, _ = begin(tmp_path)
    folder.release()
    with pytest.raises(UsageError) as error:
        OutputFolder(tmp_path).state(IDENTITY | {"seed": 7}, overwrite=False)
    assert "seed: 0 -> 7" in error.value.message
    assert "target" not in error.value.message
    assert OutputFolder(tmp_path).state(IDENTITY | {"seed": 7}, overwrite=True) == "new"


def test_work_without_a_finished_shard_protects_nothing(tmp_path):
    folder = OutputFolder(tmp_path)
    folder.begin("new", {"identity": IDENTITY})
    folder.release()
    assert OutputFolder(tmp_path).state(IDENTITY | {"seed": 7}, overwrite=False) == "new"


def test_what_synfill_did_not_make_stays(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"notes\.txt"):
        OutputFolder(tmp_path).state(IDENTITY, overwrite=False)
    folder, _ = begin(tmp_path, overwrite=True)
    assemble(folder)
    folder.commit()
    assert files(tmp_path) == WHOLE | {"notes.txt"}


def test_entries_of_a_record_never_leave_the_folder(tmp_path):
    out = tmp_path / "out"
    (out / "synfill").mkdir(parents=True)
    victim = tmp_path / "victim"
    victim.write_text("mine")
    record = {"identity": {}, "entries": ["../victim", str(victim), "..", "."]}
    (out / "synfill/run.json").write_text(json.dumps(record))
    folder, _ = begin(out, overwrite=True)
    assemble(folder)
    folder.commit()
    assert victim.read_text() == "mine"
    assert files(out) == WHOLE


def test_a_damaged_record_is_told(tmp_path):
    (tmp_path / "synfill").mkdir()
    (tmp_path / "synfill/run.json").write_text("{")
    with pytest.raises(RunError, match=r"run\.json"):
        OutputFolder(tmp_path).state(IDENTITY, overwrite=False)
    assert OutputFolder(tmp_path).state(IDENTITY, overwrite=True) == "new"
