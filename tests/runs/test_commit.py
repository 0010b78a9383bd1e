"""What a user, or a stranger's journal, changed between a kill in the last step and a next run."""

import json
import os
import shutil

import pytest
from output_fixtures import IDENTITY, WHOLE, assemble, begin, files, finish

from synfill.errors import RunError
from synfill.runs import commit
from synfill.runs.dataset_folder import DatasetFolder

OTHER = IDENTITY | {"seed": 1}


class Died(BaseException):
    """As KeyboardInterrupt, no Exception."""


def die_in_commit(out, monkeypatch, steps):
    """A dataset is to replace another; the process dies at its `steps`-th rename of the commit."""
    finish(out, OTHER)
    folder, _ = begin(out, overwrite=True)
    assemble(folder)
    left = steps + 1  # the journal's own comes first
    original = os.replace

    def dying(source, target):
        nonlocal left
        if left == 0:
            raise Died
        left -= 1
        original(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(commit.os, "replace", dying)
        with pytest.raises(Died):
            folder.commit(IDENTITY)
    folder.release()


def take(out, overwrite=False):
    folder = DatasetFolder(out)
    folder.state(IDENTITY, overwrite)
    folder.take()
    folder.release()


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    ("steps", "name"),
    [
        (0, "data/thesis.txt"),
        (0, "synfill/notes/mine.txt"),
        (0, "README.md"),
        (0, "synfill/run.json"),
        (1, "README.md"),
        (1, "synfill/mine.txt"),
        (2, "README.md"),
        (3, "data/thesis.txt"),
        (4, "data/thesis.txt"),
        (5, "synfill/mine.txt"),
    ],
)
def test_what_came_after_the_kill_is_kept(tmp_path, monkeypatch, steps, name, overwrite):
    out = tmp_path / "out"
    die_in_commit(out, monkeypatch, steps)
    (out / name).parent.mkdir(parents=True, exist_ok=True)
    (out / name).write_text("mine")
    before = {path: (out / path).read_bytes() for path in files(out)}
    with pytest.raises(RunError, match="isn't what it was") as told:
        take(out, overwrite)
    assert name.partition("/")[0] in told.value.message
    assert {path: (out / path).read_bytes() for path in files(out)} == before
    # As the message says.
    shutil.move(out / name, tmp_path / "moved")
    for parent in list((out / name).parents)[:-1]:
        if parent != out and parent.is_dir() and not os.listdir(parent):
            parent.rmdir()
    take(out, overwrite)
    assert (tmp_path / "moved").read_text() == "mine"
    assert files(out) == WHOLE
    assert json.loads((out / "synfill/run.json").read_text())["identity"]["seed"] == 0


@pytest.mark.parametrize("name", ["thesis", "thesis/chapter.txt"])
def test_a_forged_journal_takes_nothing(tmp_path, name):
    out = tmp_path / "out"
    (out / ".synfill/final/README.md").parent.mkdir(parents=True)
    (out / ".synfill/final/README.md").write_text("theirs")
    (out / name).parent.mkdir(exist_ok=True)
    (out / name).write_text("mine")
    entry = {"bytes": 4, "sha256": "0" * 64}
    journal = {"identity": {}, "old": ["thesis"], "replaced": {name: entry}}
    (out / ".synfill/commit.json").write_text(json.dumps(journal))
    with pytest.raises(RunError, match=name):
        take(out)
    del journal["replaced"]
    (out / ".synfill/commit.json").write_text(json.dumps(journal))
    with pytest.raises(RunError, match="damaged"):
        take(out)
    take(out, overwrite=True)
    assert (out / name).read_text() == "mine"


def test_a_forged_dataset_replaces_nothing_that_the_journal_does_not_name(tmp_path):
    (tmp_path / ".synfill/final").mkdir(parents=True)
    (tmp_path / ".synfill/final/notes.txt").write_text("theirs")
    (tmp_path / "notes.txt").write_text("mine")
    journal = {"identity": {}, "old": [], "replaced": {}}
    (tmp_path / ".synfill/commit.json").write_text(json.dumps(journal))
    with pytest.raises(RunError, match=r"notes\.txt"):
        take(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_an_old_dataset_that_was_moved_away_is_not_missed(tmp_path, monkeypatch):
    out = tmp_path / "out"
    die_in_commit(out, monkeypatch, 1)
    shutil.move(out / "data", tmp_path / "elsewhere")
    take(out)
    assert files(out) == WHOLE


@pytest.mark.parametrize("steps", [0, 2, 4])
def test_without_the_new_dataset_nothing_more_is_removed(tmp_path, monkeypatch, steps):
    out = tmp_path / "out"
    die_in_commit(out, monkeypatch, steps)
    shutil.rmtree(out / ".synfill/final")
    before = files(out)
    for overwrite in (False, True):
        with pytest.raises(RunError, match="is gone"):
            take(out, overwrite)
    assert files(out) == before
