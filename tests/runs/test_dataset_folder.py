"""The output folder's states, and a process that dies anywhere in the last step."""

import json
import os
import shutil
import subprocess
import sys
import time

import pytest
from output_fixtures import (
    IDENTITY,
    WHOLE,
    WRITES,
    assemble,
    begin,
    files,
    finish,
    open_store,
    outcomes,
    run_state,
)

from synfill.errors import RunError, UsageError
from synfill.runs import commit
from synfill.runs.dataset_files import RUN, Replacing
from synfill.runs.dataset_folder import DatasetFolder

OTHER = IDENTITY | {"seed": 1}


class Died(BaseException):
    """As KeyboardInterrupt, no Exception."""


def state_of(path, identity=IDENTITY, overwrite=False):
    return DatasetFolder(path).state(identity, overwrite)


def stop_after(monkeypatch, steps):
    """Whoever renames, removes or syncs for the `steps`-th time dies."""
    left = steps

    def dying(original):
        def call(*arguments, **named):
            nonlocal left
            if left == 0:
                raise Died
            left -= 1
            return original(*arguments, **named)

        return call

    monkeypatch.setattr(os, "replace", dying(os.replace))
    monkeypatch.setattr(commit, "sync_folder", dying(commit.sync_folder))
    monkeypatch.setattr(commit, "remove", dying(commit.remove))
    monkeypatch.setattr(shutil, "rmtree", dying(shutil.rmtree))


def test_a_run_from_start_to_end(tmp_path):
    out = tmp_path / "out"
    folder, state = begin(out)
    assert state == "new"
    folder.release()
    folder, state = begin(out)
    assert state == "resume"
    assemble(folder)
    folder.commit(IDENTITY)
    assert files(out) == WHOLE
    assert not (out / ".synfill").exists()
    assert state_of(out) == "finished"
    assert state_of(out, overwrite=True) == "new"


@pytest.mark.parametrize("earlier", [False, True])
@pytest.mark.parametrize("step", range(30))
def test_dying_anywhere_in_the_last_step_loses_nothing(tmp_path, monkeypatch, step, earlier):
    out = tmp_path / "out"
    old = None
    if earlier:
        finish(out, OTHER)
        (out / "notes.txt").write_text("mine")
        old = {name: (out / name).read_bytes() for name in WHOLE}
    folder, _ = begin(out, overwrite=True)
    assemble(folder)
    with monkeypatch.context() as patched:
        stop_after(patched, step)
        try:
            folder.commit(IDENTITY)
            was_stopped = False
        except Died:
            was_stopped = True
            folder.release()
    if (out / "synfill/run.json").exists():
        # Who reads it finds a whole dataset, with its own plan: the old one or the new one.
        record = json.loads((out / "synfill/run.json").read_text())
        if record["identity"]["seed"] == 1:
            assert {name: (out / name).read_bytes() for name in WHOLE} == old
        else:
            assert files(out) >= WHOLE
            assert b'"seed": 0' in (out / "data/train-00000-of-00001.parquet").read_bytes()
    again = DatasetFolder(out)
    if not (again.state(IDENTITY, True) == "finished" and not again.is_cut_off()):
        again.take()
        if again.state(IDENTITY, True) == "resume":
            again.begin("resume", run_state())
            assert (again.shards / "shard-000000.parquet").exists()
            assemble(again)
            again.commit(IDENTITY)
        elif not was_stopped:
            assert again.state(IDENTITY, False) == "finished"
        else:
            # With --overwrite too: what was begun with it is done.
            assert again.state(IDENTITY, True) in ("finished", "new")
            assert again.state(IDENTITY, False) == "finished"
        again.release()
    assert files(out) - {"notes.txt"} == WHOLE
    assert not (out / ".synfill").exists()
    assert b'"seed": 0' in (out / "data/train-00000-of-00001.parquet").read_bytes()
    if earlier:
        assert (out / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("steps", [3, 6, 8])
def test_dying_again_and_again_in_the_last_step(tmp_path, monkeypatch, steps):
    out = tmp_path / "out"
    finish(out, OTHER)
    folder, _ = begin(out, overwrite=True)
    assemble(folder)
    with monkeypatch.context() as patched:
        stop_after(patched, steps)
        with pytest.raises(Died):
            folder.commit(IDENTITY)
        folder.release()
    for step in range(30):
        with monkeypatch.context() as patched:
            stop_after(patched, step)
            again = DatasetFolder(out)
            try:
                again.take()
                again.release()
                break
            except Died:
                continue
    assert state_of(out) == "finished"
    assert files(out) == WHOLE
    assert b'"seed": 0' in (out / "data/train-00000-of-00001.parquet").read_bytes()


def test_the_old_dataset_keeps_its_plan_until_the_new_one_is_whole(tmp_path):
    finish(tmp_path, OTHER)
    before = {name: (tmp_path / name).read_bytes() for name in WHOLE}
    folder, _ = begin(tmp_path, overwrite=True)
    folder.plan.write_text("another plan")
    assert {name: (tmp_path / name).read_bytes() for name in WHOLE} == before
    assemble(folder)
    assert {name: (tmp_path / name).read_bytes() for name in WHOLE} == before
    folder.release()


def test_what_a_run_finished_meanwhile_is_not_deleted_by_one_that_believes_in_new(tmp_path):
    late = DatasetFolder(tmp_path / "out")
    assert late.state(IDENTITY, False) == "new"
    folder, _ = begin(tmp_path / "out", shards=(0, 1))
    with pytest.raises(RunError, match="Another synfill run"):
        late.take()
    folder.release()
    late.take()
    # Asked again, under the lock.
    assert late.state(IDENTITY, False) == "resume"
    late.begin("resume", run_state())
    assert open_store(late).finished() == [0, 1]
    late.release()


RACE = """
import os, sys, time
sys.path.insert(0, sys.argv[4])
from pathlib import Path
from output_fixtures import IDENTITY, assemble, open_store, outcomes, run_state
from synfill.runs.dataset_folder import DatasetFolder
from synfill.runs.dataset_files import Replacing
from synfill.errors import RunError

place, me, rounds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
for number in range(rounds):
    (place / f"ready-{number}-{me}").touch()
    while not (place / f"go-{number}").exists():
        pass
    out = place / f"out-{number}"
    while True:
        folder = DatasetFolder(out)
        if folder.state(IDENTITY, False) == "finished" and not folder.is_cut_off():
            break
        try:
            folder.take()
        except RunError as error:
            assert "Another synfill run" in error.message, error
            continue
        try:
            state = folder.state(IDENTITY, False)
            if state == "finished":
                break
            os.close(os.open(place / f"inside-{number}", os.O_CREAT | os.O_EXCL))
            folder.check_replaced(Replacing(out, ("README.md", "data", "synfill")))
            folder.begin(state, run_state())
            store = open_store(folder)
            index = store.missing()[0] if store.missing() else None
            if index is not None:
                store.write(index, outcomes(store.requests(index)), [4])
                with open(place / f"made-{number}", "a") as file:
                    file.write(str(index))
            os.unlink(place / f"inside-{number}")
            if not store.missing():
                assemble(folder)
                folder.commit(IDENTITY)
        finally:
            folder.release()
"""


def test_two_runs_started_at_the_same_moment_a_hundred_times(tmp_path):
    """Each makes one shard a turn, then lets go: never both at once, no shard made twice."""
    rounds = 100
    tests = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(tmp_path), name, str(rounds), tests],
            stderr=subprocess.PIPE,
        )
        for name in "ab"
    ]
    try:
        for number in range(rounds):
            while len(list(tmp_path.glob(f"ready-{number}-*"))) < 2:
                failed = [p for p in processes if p.poll()]
                assert not failed, failed[0].stderr.read().decode()
                # The two wait without a pause, and need the processors.
                time.sleep(0.001)
            (tmp_path / f"go-{number}").touch()
        for process in processes:
            _, errors = process.communicate(timeout=60)
            assert process.returncode == 0, errors.decode()
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    for number in range(rounds):
        assert (tmp_path / f"made-{number}").read_text() == "012"
        assert files(tmp_path / f"out-{number}") == WHOLE


def test_another_identity_is_named(tmp_path):
    folder, _ = begin(tmp_path)
    folder.release()
    with pytest.raises(UsageError) as error:
        state_of(tmp_path, IDENTITY | {"seed": 7})
    assert "seed: 0 -> 7" in error.value.message
    assert "target" not in error.value.message
    assert state_of(tmp_path, IDENTITY | {"seed": 7}, overwrite=True) == "new"


def test_work_without_a_finished_shard_protects_nothing(tmp_path):
    folder, _ = begin(tmp_path, shards=())
    folder.release()
    assert state_of(tmp_path, IDENTITY | {"seed": 7}) == "new"


@pytest.mark.parametrize(
    ("before", "now", "found"),
    [({"limit": 60}, {"limit": 80}, "extend"), ({"limit": 60}, {"limit": None}, "extend"),
     ({"target": "uniform:5"}, {"target": "uniform:9"}, "extend"),
     ({"target": {"cat": 5}}, {"target": {"cat": 9}}, "extend"),
     ({"limit": 60}, {"limit": 40}, None), ({"limit": None}, {"limit": 40}, None),
     ({"limit": 60}, {"limit": 80, "seed": 3}, None),
     ({"target": "uniform:5"}, {"target": "ratio:1"}, None)],
)  # fmt: skip
@pytest.mark.parametrize("is_finished", [False, True])
def test_more_of_the_same_goes_on(tmp_path, before, now, found, is_finished):
    if is_finished:
        finish(tmp_path, IDENTITY | before)
    else:
        begin(tmp_path, IDENTITY | before)[0].release()
    if found is None:
        with pytest.raises(UsageError, match="other settings"):
            state_of(tmp_path, IDENTITY | now)
    else:
        assert state_of(tmp_path, IDENTITY | now) == found


def test_what_synfill_did_not_make_stays(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"notes\.txt"):
        state_of(tmp_path)
    finish(tmp_path, overwrite=True)
    assert files(tmp_path) == WHOLE | {"notes.txt"}


def test_a_model_that_cannot_be_loaded_leaves_nothing(tmp_path):
    folder = DatasetFolder(tmp_path / "a/b")
    folder.take()
    folder.release()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "name", [".synfill", "synfill", "data", ".synfill/shards", ".synfill/final", ".synfill/old"]
)
def test_a_link_is_not_followed(tmp_path, name):
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "thesis.txt").write_text("mine")
    (out / name).parent.mkdir(parents=True, exist_ok=True)
    (out / name).symlink_to(elsewhere)
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="symbolic link"):
            state_of(out, overwrite=overwrite)
    assert os.listdir(elsewhere) == ["thesis.txt"]


def test_shards_of_another_run_are_not_taken_for_ones_own(tmp_path):
    """A run that took over images was killed before it wrote down that it had."""
    folder, _ = begin(tmp_path, shards=(0,))
    other = open_store(folder, identity=OTHER)
    assert other.finished() == []
    other.write(1, outcomes(other.requests(1)), [4])
    folder.release()
    folder, state = begin(tmp_path, shards=())
    assert state == "new"


@pytest.mark.parametrize("is_finished", [False, True])
def test_what_is_not_known_yet_counts_as_unchanged(tmp_path, is_finished):
    """What the images hold, before they are read."""
    if is_finished:
        finish(tmp_path)
    else:
        begin(tmp_path)[0].release()
    folder, draft = DatasetFolder(tmp_path), IDENTITY | {"size": None}
    expected = "finished" if is_finished else "resume"
    assert folder.state(draft, False, unsure=["size"]) == expected
    with pytest.raises(UsageError, match="seed: 0 -> 1") as told:
        folder.state(draft | {"seed": 1}, False, unsure=["size"])
    assert "size" not in told.value.message
    if not is_finished:
        (tmp_path / ".synfill/state.json").write_text("{")
        assert folder.state(draft, False, unsure=["size"]) == "resume"
        with pytest.raises(RunError, match="damaged"):
            folder.state(draft, False)


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="needs Linux's /proc")
def test_all_of_it_is_on_the_disk_before_anything_is_moved(tmp_path, monkeypatch):
    folder, _ = begin(tmp_path)
    assemble(folder)
    wanted = {str(path) for path in (folder.final, *folder.final.rglob("*"))}
    synced, moved = set(), []
    sync, replace = os.fsync, os.replace

    def syncing(handle):
        synced.add(os.readlink(f"/proc/self/fd/{handle}"))
        sync(handle)

    def replacing(source, target):
        if str(source) in wanted:
            moved.append(source)
            assert synced >= wanted
        replace(source, target)

    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(os, "replace", replacing)
    folder.commit(IDENTITY)
    assert len(moved) == 3 and str(tmp_path) in synced


def test_thousands_of_small_files_take_one_sync(tmp_path, monkeypatch):
    from synfill import files as synfill_files

    for number in range(3):
        (tmp_path / str(number)).touch()
    calls = []
    monkeypatch.setattr(synfill_files, "_MANY_FILES", 2)
    monkeypatch.setattr(os, "sync", lambda: calls.append("all"))
    monkeypatch.setattr(os, "fsync", lambda handle: calls.append("one"))
    synfill_files.sync_tree(tmp_path)
    assert calls == ["all"]


def test_a_dataset_that_is_half_in_its_place_is_not_read(tmp_path, monkeypatch):
    from synfill.data.source import open_source
    from synfill.hub.upload.listing import read_dataset

    folder, _ = begin(tmp_path)
    assemble(folder)
    with monkeypatch.context() as patched:
        # After README.md and data, before synfill/.
        stop_after(patched, 6)
        with pytest.raises(Died):
            folder.commit(IDENTITY)
    folder.release()
    assert (tmp_path / "data").exists() and not (tmp_path / "synfill").exists()
    with pytest.raises(RunError, match="half in its place"):
        open_source(str(tmp_path))
    with pytest.raises(UsageError, match="isn't finished"):
        read_dataset(tmp_path)


@pytest.mark.parametrize("name", ["data/train-00000-of-00001.parquet", "synfill/plan.parquet"])
def test_a_dataset_that_lost_a_file_is_not_called_finished(tmp_path, name):
    finish(tmp_path)
    (tmp_path / "README.md").write_text("edited")
    assert state_of(tmp_path) == "finished"
    (tmp_path / name).unlink()
    with pytest.raises(RunError, match=f"{name} is missing"):
        state_of(tmp_path)
    (tmp_path / "README.md").unlink()
    finish(tmp_path, overwrite=True)
    assert files(tmp_path) == WHOLE


def test_what_an_earlier_version_left_when_it_was_killed_is_removed(tmp_path):
    finish(tmp_path, with_hashes=False)
    (tmp_path / ".synfill-done").mkdir()
    (tmp_path / ".synfill-done/state.json").write_text("{}")
    folder = DatasetFolder(tmp_path)
    assert folder.state(IDENTITY, False) == "finished" and folder.is_cut_off()
    folder.take()
    assert folder.state(IDENTITY, False) == "finished"
    folder.release()
    assert files(tmp_path) == WHOLE and not (tmp_path / ".synfill-done").exists()


@pytest.mark.parametrize("moved", range(6))
def test_a_commit_of_an_earlier_version_that_was_cut_off_is_completed(tmp_path, moved):
    folder, _ = begin(tmp_path)
    assemble(folder, with_hashes=False)
    (folder.final / "synfill/verdicts.parquet").write_text("verdicts")
    folder.release()
    _move_as_0_1(folder, moved)
    again = DatasetFolder(tmp_path)
    assert again.state(IDENTITY, False) == "resume"
    again.take()
    state = again.state(IDENTITY, False)
    # Past the last of its renames the shards give it once more.
    assert state == ("finished" if moved < 5 else "resume")
    again.check_replaced(Replacing(tmp_path, WRITES))
    again.release()
    if state == "finished":
        assert files(tmp_path) == WHOLE | {"synfill/verdicts.parquet"}


@pytest.mark.parametrize("harm", ["split", "both", "neither", "info", "record"])
def test_a_commit_of_an_earlier_version_is_not_completed_with_what_is_not_whole(tmp_path, harm):
    folder, _ = begin(tmp_path)
    assemble(folder, with_hashes=False)
    (folder.final / "synfill/verdicts.parquet").write_text("verdicts")
    folder.release()
    _move_as_0_1(folder, 1)
    if harm == "split":
        (folder.final / "data/train-00000-of-00001.parquet").write_text("other")
    elif harm == "both":
        (folder.final / "README.md").write_text("card")
    elif harm == "neither":
        (tmp_path / "README.md").unlink()
    elif harm == "info":
        (folder.final / "synfill/verdicts.parquet").unlink()
    else:
        (folder.final / RUN).write_text("{")
    before = files(tmp_path)
    again = DatasetFolder(tmp_path)
    again.take()
    again.release()
    assert files(tmp_path) == before


def _move_as_0_1(folder, moves):
    """Move so many entries into place as versions up to 0.1 did, without a journal."""
    (folder.path / "synfill").mkdir()
    entries = [folder.final / name for name in ("README.md", "data")]
    entries += [folder.final / f"synfill/{n}.parquet" for n in ("plan", "verdicts")]
    for path in [*entries, folder.final / RUN][:moves]:
        path.replace(folder.path / path.relative_to(folder.final))
