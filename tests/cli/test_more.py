"""More of the same into one folder: the images that are there stay, and only the rest is made."""

import hashlib
import json

import pytest
from datasets_fixtures import make_imagefolder

from synfill.balancing import finish as finishing
from synfill.balancing import run as running
from synfill.generation.fill.store import ShardStore
from synfill.generation.pipeline.generator import Generator
from synfill.runs.commit import Mover
from synfill.runs.dataset_folder import DatasetFolder
from synfill.runs.versions import GENERATING, versions


@pytest.fixture
def base(tmp_path, sd_model):
    photos = make_imagefolder(
        tmp_path / "photos", {"train": {"cat": 60, "dog": 4}, "test": {"cat": 1}}
    )
    return ("balance", photos, "--model", sd_model, "--steps", 1, "--size", 32, "--batch-size", 4)


@pytest.fixture
def made(monkeypatch):
    """The seeds of all images that are made."""
    seeds = []
    start = Generator.start

    def counting(self, requests):
        seeds.extend(request.seed for request in requests)
        return start(self, requests)

    monkeypatch.setattr(Generator, "start", counting)
    return seeds


def tree(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def stop_in(monkeypatch, owner, name, after=0):
    """Ctrl-C when that is called for the (after + 1)-th time."""
    original, left = getattr(owner, name), after

    def stopping(*arguments, **named):
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return original(*arguments, **named)

    monkeypatch.setattr(owner, name, stopping)


@pytest.mark.parametrize("form", ["parquet", "imagefolder"])
@pytest.mark.parametrize(
    ("less", "more"),
    [(("--limit", 40), ("--limit", 52)), (("--target", "uniform:44"), ("--target", "uniform:56"))],
)
def test_a_finished_folder_is_extended(cli, base, made, tmp_path, less, more, form):
    base = (*base, "--format", form)
    assert cli(*base, *more, "--out", "whole").code == 0
    made.clear()
    assert cli(*base, *less, "--out", "grown").code == 0
    assert len(made) == 40
    (tmp_path / "grown/notes.txt").write_text("mine")
    ran = cli(*base, *more, "--out", "grown")
    assert ran.code == 0, ran.err
    assert "40 of 52 images are taken over" in " ".join(ran.err.split())
    assert len(made) == len(set(made)) == 52
    (tmp_path / "grown/notes.txt").unlink()
    assert tree(tmp_path / "grown") == tree(tmp_path / "whole")
    fewer = cli(*base, *less, "--out", "grown")
    assert fewer.code == 2
    assert "other settings" in fewer.err and "another --out" in fewer.err


@pytest.mark.parametrize("shards", [1, 2])
def test_an_unfinished_run_is_extended(cli, base, made, tmp_path, monkeypatch, shards):
    assert cli(*base, "--limit", 52, "--out", "whole").code == 0
    with monkeypatch.context() as patched:
        if shards == 1:
            stop_in(patched, ShardStore, "write", 1)
        else:
            stop_in(patched, running, "finish")
        assert cli(*base, "--limit", 40, "--out", "grown").code == 130
    made.clear()
    with monkeypatch.context() as patched:
        # Killed before it has written down what it took over.
        stop_in(patched, DatasetFolder, "begin")
        assert cli(*base, "--limit", 52, "--out", "grown").code == 130
    with monkeypatch.context() as patched:
        # What is taken over is not lost before the first new shard.
        stop_in(patched, ShardStore, "write")
        assert cli(*base, "--limit", 52, "--out", "grown").code == 130
    made.clear()
    ran = cli(*base, "--limit", 52, "--out", "grown")
    assert ran.code == 0, ran.err
    assert len(made) == 52 - (32 if shards == 1 else 40)
    assert tree(tmp_path / "grown") == tree(tmp_path / "whole")


def test_rejected_attempts_are_taken_over_too(cli, base, made, tmp_path):
    from tiny_models import make_sd

    model = make_sd(tmp_path / "safe", safety_checker=True, flags=0.5)
    base = (*base, "--model", model, "--max-tries", 2)
    assert cli(*base, "--limit", 52, "--out", "whole").code == 0
    assert cli(*base, "--limit", 40, "--out", "grown").code == 0
    record = json.loads((tmp_path / "grown/synfill/run.json").read_text())
    assert record["rejected"] and record["unfilled"]
    ran = cli(*base, "--limit", 52, "--out", "grown")
    assert ran.code == 0, ran.err
    assert "40 of 52 images are taken over" in " ".join(ran.err.split())
    assert tree(tmp_path / "grown") == tree(tmp_path / "whole")


def test_the_old_dataset_is_whole_until_the_larger_one_is(cli, base, tmp_path, monkeypatch):
    assert cli(*base, "--limit", 40, "--out", "grown").code == 0
    before = tree(tmp_path / "grown")
    for owner, name in ((ShardStore, "take_over"), (DatasetFolder, "begin"), (ShardStore, "write"),
                        (finishing, "list_written"), (DatasetFolder, "commit")):  # fmt: skip
        with monkeypatch.context() as patched:
            stop_in(patched, owner, name)
            assert cli(*base, "--limit", 52, "--out", "grown").code == 130
        now = tree(tmp_path / "grown")
        assert {name: now.get(name) for name in before} == before
    ran = cli(*base, "--limit", 52, "--out", "grown")
    assert ran.code == 0, ran.err
    record = json.loads((tmp_path / "grown/synfill/run.json").read_text())
    assert sum(count["synthetic"] for count in record["counts"]) == 52


def test_what_a_user_changed_stops_it(cli, base, tmp_path):
    assert cli(*base, "--limit", 8, "--out", "grown").code == 0
    (tmp_path / "grown/README.md").write_text("edited")
    before = tree(tmp_path / "grown")
    ran = cli(*base, "--limit", 12, "--out", "grown")
    assert ran.code == 2
    assert "README.md (changed since)" in ran.err
    assert tree(tmp_path / "grown") == before


def test_other_versions_are_told_and_recorded(cli, base, tmp_path, monkeypatch):
    now = versions(GENERATING)
    with monkeypatch.context() as patched:
        older = now | {"torch": "1.0", "diffusers": "0.1"}
        patched.setattr(running, "versions", lambda libraries: older)
        stop_in(patched, ShardStore, "write", 1)
        assert cli(*base, "--limit", 40, "--out", "o").code == 130
    ran = cli(*base, "--limit", 40, "--out", "o")
    assert ran.code == 0
    told = " ".join(ran.err.split())
    assert f"torch 1.0 -> {now['torch']}" in told and "diffusers 0.1" in told
    assert "transformers" not in told
    record = json.loads((tmp_path / "o/synfill/run.json").read_text())
    assert record["versions"] == now
    assert [one["torch"] for one in record["shard_versions"]] == ["1.0", now["torch"]]
    assert cli(*base, "--limit", 8, "--out", "p").code == 0
    record = json.loads((tmp_path / "p/synfill/run.json").read_text())
    assert record["shard_versions"] == [now]


def test_ctrl_c_in_the_last_step(cli, base, tmp_path, monkeypatch):
    command = (*base, "--limit", 8, "--out", "o")
    with monkeypatch.context() as patched:
        stop_in(patched, Mover, "_move")
        stopped = cli(*command)
    assert stopped.code == 130
    assert "complete in o" in " ".join(stopped.err.split())
    assert not (tmp_path / "o/synfill/run.json").exists()
    ran = cli(*command)
    assert ran.code == 0
    assert "Nothing to do" in ran.out
    assert sorted(p.name for p in (tmp_path / "o").iterdir()) == ["README.md", "data", "synfill"]
