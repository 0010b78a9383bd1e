"""What --overwrite may take: what the record lists and is as it was written, and nothing else."""

import contextlib
import json
import os
import shutil

import pytest
from output_fixtures import IDENTITY, WHOLE, assemble, begin, files, finish

from synfill.errors import RunError, UsageError
from synfill.runs.dataset_folder import DatasetFolder

OTHER = IDENTITY | {"seed": 1}


def add_thesis(out):
    (out / "data/thesis.txt").write_text("years of work")
    return "data/thesis.txt"


def add_notes(out):
    (out / "synfill/notes.csv").write_text("mine")
    return "synfill/notes.csv"


def add_folder(out):
    (out / "data/models/mine").mkdir(parents=True)
    (out / "data/models/mine/weights").write_text("mine")
    return "data/models/mine/weights"


def add_empty_folder(out):
    (out / "data/empty").mkdir()
    return "data/empty/"


def edit_card(out):
    # As many bytes as before.
    (out / "README.md").write_text("mine")
    return "README.md (changed since)"


def edit_data(out):
    path = out / "data/train-00000-of-00001.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    return "data/train-00000-of-00001.parquet (changed since)"


def add_shard(out):
    (out / "data/mine-00000-of-00001.parquet").write_text("mine")
    return "data/mine-00000-of-00001.parquet"


def add_link(out):
    (out / "data/link").symlink_to(out.parent)
    return "data/link (no regular file)"


def put_pipe(out):
    path = out / "synfill/plan.parquet"
    path.unlink()
    os.mkfifo(path)
    return "synfill/plan.parquet (no regular file)"


def forge(out):
    """A record that lists a user's files, with their sizes and hashes."""
    (out / "mine").mkdir()
    (out / "mine/train-00000-of-00001.parquet").write_text("mine")
    record = json.loads((out / "synfill/run.json").read_text())
    entry = {"bytes": 4, "sha256": "0" * 64}
    for name in ("mine/train-00000-of-00001.parquet", "../victim", "/etc/passwd", "mine/../x"):
        record["files"][name] = entry
    record["entries"].append("mine")
    (out / "synfill/run.json").write_text(json.dumps(record))


CHANGES = [add_thesis, add_notes, add_folder, add_empty_folder, edit_card, edit_data, add_shard,
           add_link, put_pipe]  # fmt: skip


def tree(out):
    return {p: p.lstat().st_mtime_ns for p in out.rglob("*") if ".synfill" not in p.parts}


@pytest.mark.parametrize("change", CHANGES)
def test_users_files_stop_it_before_it_starts(tmp_path, change):
    finish(tmp_path, OTHER)
    named = change(tmp_path)
    before = tree(tmp_path)
    with pytest.raises(UsageError) as told:
        begin(tmp_path, overwrite=True)
    assert f"  {named}" in told.value.message.splitlines()
    assert "another --out" in told.value.hint
    assert tree(tmp_path) == before


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_changed_meanwhile_stops_the_commit(tmp_path, change):
    finish(tmp_path, OTHER)
    folder, _ = begin(tmp_path, overwrite=True)
    assemble(folder)
    change(tmp_path)
    before = tree(tmp_path)
    with pytest.raises(RunError) as told:
        folder.commit(IDENTITY)
    assert "same command" in told.value.hint
    assert tree(tmp_path) == before
    assert (folder.shards / "shard-000000.parquet").exists()
    folder.release()


@pytest.mark.parametrize("change", [add_thesis, add_notes, add_folder, add_shard, add_link])
def test_a_dataset_of_a_version_without_hashes(tmp_path, change):
    old = tmp_path / "old"
    finish(old, OTHER, with_hashes=False)
    shutil.copytree(old, tmp_path / "touched")
    named = change(tmp_path / "touched")
    with pytest.raises(UsageError) as told:
        begin(tmp_path / "touched", overwrite=True)
    assert f"  {named}" in told.value.message.splitlines()
    finish(old, overwrite=True)
    assert files(old) == WHOLE


def test_data_that_disagree_with_a_record_without_hashes(tmp_path):
    finish(tmp_path, OTHER, with_hashes=False)
    path = tmp_path / "data/train-00000-of-00001.parquet"
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(UsageError, match="split 'train'"):
        begin(tmp_path, overwrite=True)


@pytest.mark.parametrize("name", ["README.md", "data/x", "synfill/plan.parquet/x"])
def test_a_folder_without_a_dataset(tmp_path, name):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(UsageError, match="didn't write"):
        begin(tmp_path, overwrite=True)
    assert (tmp_path / name).read_text() == "mine"


def test_what_lies_beside_is_left_alone(tmp_path):
    finish(tmp_path, OTHER)
    for name in ("notes.txt", ".git/HEAD", "mine/README.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    finish(tmp_path, overwrite=True)
    assert files(tmp_path) == WHOLE | {"notes.txt", ".git/HEAD", "mine/README.md"}


def test_a_forged_record_takes_nothing_of_the_users(tmp_path):
    out, victim = tmp_path / "out", tmp_path / "victim"
    victim.write_text("mine")
    finish(out, OTHER)
    forge(out)
    finish(out, overwrite=True)
    assert victim.read_text() == "mine"
    assert (out / "mine/train-00000-of-00001.parquet").read_text() == "mine"


@pytest.mark.parametrize("with_hashes", [False, True])
def test_entries_of_an_old_record_never_leave_the_folder(tmp_path, with_hashes):
    out, victim = tmp_path / "out", tmp_path / "victim"
    finish(out, OTHER | {"format": "imagefolder"}, with_hashes=with_hashes)
    victim.mkdir()
    (victim / "metadata.csv").write_text("mine")
    path = out / "synfill/run.json"
    record = json.loads(path.read_text())
    record["entries"] += ["../victim", str(victim), "..", "."]
    split = {"rows": 0, "bytes": 4, "files": 1}
    record["splits"] |= {"..": split, "../victim": split, str(victim): split, ".": split}
    path.write_text(json.dumps(record))
    with contextlib.suppress(UsageError):
        finish(out, overwrite=True)
    assert (victim / "metadata.csv").read_text() == "mine"


@pytest.mark.parametrize("place", ["data/train-00000-of-00001.parquet", ".synfill/model"])
def test_what_the_run_reads_is_never_taken(tmp_path, place):
    finish(tmp_path, OTHER)
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).touch()
    with pytest.raises(UsageError, match="which the run reads"):
        begin(tmp_path, overwrite=True, reads=[tmp_path / place])
    assert DatasetFolder(tmp_path).state(OTHER, False) == "finished"


def test_what_was_looked_at_is_hashed_once(tmp_path, monkeypatch):
    from synfill.runs import written

    finish(tmp_path, OTHER)
    folder, _ = begin(tmp_path, overwrite=True)
    monkeypatch.setattr(written, "hash_file", lambda path: "read again")
    assert folder._find_replaced()[0] == ["README.md", "data", "synfill"]
    os.utime(tmp_path / "README.md", ns=(1, 1))
    with pytest.raises(UsageError, match=r"README\.md \(changed since\)"):
        folder._find_replaced()
    folder.release()
