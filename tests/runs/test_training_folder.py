"""The folder of `synfill train`: what --overwrite may take, damaged records, who is at work."""

import json
import os
import time

import pytest

from synfill.errors import RunError, UsageError
from synfill.runs.training_folder import RunFolder

IDENTITY = {"name": "r", "stages": [{"lr": 0.1}]}
OTHER = {"name": "r", "stages": [{"lr": 0.2}]}
MINE = ["recipe.yaml", "metrics.json", "seed-0/result.json", "seed-0/model/model.safetensors",
        "seed-0/history.jsonl", "predictions.parquet"]  # fmt: skip


def write(path, text="ours"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def run(out, identity=IDENTITY, overwrite=False, method=None, is_killed=False):
    """What a run does with its folder, without the training."""
    folder = RunFolder(out)
    folder.check(identity, overwrite)
    folder.begin()
    try:
        own = folder.method(method)
        own.check(identity, overwrite)
        folder.claim(identity, "recipe", overwrite)
        own.begin(identity, overwrite)
        if is_killed:
            folder._list_files = lambda: None
        seed = own.seed(0)
        for path in seed.files():
            write(path, str(identity))
        write(own.path / "metrics.json")
        write(own.path / "predictions.parquet")
        if method:
            write(out / "comparison.json")
    finally:
        folder.release(is_finished=True)


def files(out):
    return {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}


def test_every_file_is_listed_with_its_hash(tmp_path):
    run(tmp_path)
    record = json.loads((tmp_path / "run.json").read_text())
    assert set(record) == {*IDENTITY, "files"}
    assert set(record["files"]) == files(tmp_path) - {"run.json"}
    assert not (tmp_path / ".synfill").exists()
    run(tmp_path)
    run(tmp_path, OTHER, overwrite=True)
    assert (tmp_path / "seed-0/result.json").read_text() == str(OTHER)


@pytest.mark.parametrize("name", MINE)
def test_what_a_user_changed_stops_it(tmp_path, name):
    run(tmp_path)
    time.sleep(0.01)
    write(tmp_path / name, "mine")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(UsageError) as told:
        run(tmp_path, OTHER, overwrite=True)
    assert f"  {name} (changed since)" in told.value.message.splitlines()
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("name", ["recipe.yaml", "skipped.csv", "comparison.md"])
def test_a_folder_without_a_run(tmp_path, name):
    write(tmp_path / name, "mine")
    with pytest.raises(UsageError, match="didn't write"):
        run(tmp_path, overwrite=True)
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize(
    "name", ["ce/metrics.json", "ce/seed-3/result.json", "ce/seed-0/history.jsonl"]
)
def test_a_folder_where_a_method_would_write(tmp_path, name):
    run(tmp_path)
    write(tmp_path / name, "mine")
    os.utime(tmp_path / name, (1, 1))
    with pytest.raises(UsageError, match=f"  {name}"):
        run(tmp_path, overwrite=True, method="ce")
    assert (tmp_path / name).read_text() == "mine"


def test_other_files_are_left_alone(tmp_path):
    run(tmp_path, method="ce")
    others = [
        "notes.txt",
        "seed-0/mine.txt",
        "ce/seed-0/model/notes",
        ".git/HEAD",
        "x/metrics.json",
    ]
    for name in others:
        write(tmp_path / name, "mine")
    run(tmp_path, OTHER, overwrite=True, method="ce")
    assert {(tmp_path / name).read_text() for name in others} == {"mine"}
    assert (tmp_path / "ce/seed-0/result.json").read_text() == str(OTHER)


def test_what_a_killed_run_left_is_its_own(tmp_path):
    run(tmp_path, is_killed=True)
    assert json.loads((tmp_path / "run.json").read_text())["is_open"]
    run(tmp_path, OTHER, overwrite=True)
    assert (tmp_path / "seed-0/result.json").read_text() == str(OTHER)
    assert "is_open" not in json.loads((tmp_path / "run.json").read_text())


def test_what_was_there_before_a_killed_run_is_not(tmp_path):
    run(tmp_path)
    write(tmp_path / "seed-7/result.json", "mine")
    os.utime(tmp_path / "seed-7/result.json", (1, 1))
    run(tmp_path, is_killed=True)
    with pytest.raises(UsageError, match=r"  seed-7/result\.json\n"):
        run(tmp_path, OTHER, overwrite=True)


def test_a_run_of_a_version_without_hashes(tmp_path):
    run(tmp_path)
    path = tmp_path / "run.json"
    path.write_text(json.dumps(IDENTITY))
    run(tmp_path)
    assert json.loads(path.read_text())["files"]
    path.write_text(json.dumps(IDENTITY))
    run(tmp_path, OTHER, overwrite=True)
    assert (tmp_path / "seed-0/result.json").read_text() == str(OTHER)


@pytest.mark.parametrize("content", ["{", "[]", "null", "{}", "0", "[" * 9999, "pipe"])
@pytest.mark.parametrize("name", ["run.json", "method.json"])
def test_damaged_records_are_named_and_can_be_begun_anew(tmp_path, name, content):
    run(tmp_path)
    path = tmp_path / name
    path.unlink()
    if content == "pipe":
        os.mkfifo(path)
    else:
        path.write_text(content)
    with pytest.raises(RunError, match=rf"{name} is damaged"):
        run(tmp_path)
    if (name, content) == ("method.json", "pipe"):
        # It may be anyone's.
        with pytest.raises(UsageError, match=r"method\.json"):
            run(tmp_path, OTHER, overwrite=True)
        return
    run(tmp_path, OTHER, overwrite=True)
    assert (tmp_path / "seed-0/result.json").read_text() == str(OTHER)


@pytest.mark.parametrize(
    "change", [{"files": []}, {"files": {"a": 1}}, {"is_open": "yes"}], ids=str
)
def test_a_damaged_list_of_files(tmp_path, change):
    run(tmp_path)
    path = tmp_path / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    run(tmp_path, OTHER, overwrite=True)
    assert (tmp_path / "seed-0/result.json").read_text() == str(OTHER)


def test_a_second_run_is_told(tmp_path):
    first = RunFolder(tmp_path / "out")
    first.begin()
    with pytest.raises(RunError, match="Another synfill run"):
        RunFolder(tmp_path / "out").begin()
    first.release(is_finished=False)
    assert not (tmp_path / "out").exists()


def test_a_linked_work_folder_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/.synfill").symlink_to(tmp_path / "elsewhere")
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="symbolic link"):
            run(tmp_path / "out", overwrite=overwrite)


def test_what_another_process_began_meanwhile_is_found(tmp_path):
    late = RunFolder(tmp_path)
    late.check(OTHER, False)
    run(tmp_path)
    late.begin()
    with pytest.raises(UsageError, match=r"lr: 0\.1 -> 0\.2"):
        late.claim(OTHER, "recipe", False)
    late.release(is_finished=False)
    assert json.loads((tmp_path / "run.json").read_text())["stages"] == IDENTITY["stages"]


@pytest.mark.parametrize(
    "name", [".synfill", "balanced", "ce", "seed-0", "seed-0/model", "seed-0/checkpoints"]
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_that_is_a_link_is_refused(tmp_path, name, overwrite):
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "thesis.txt").write_text("mine")
    folder = RunFolder(out)
    (out / name).parent.mkdir(parents=True)
    (out / name).symlink_to(elsewhere)
    with pytest.raises(UsageError, match="symbolic link"):
        folder.check({"a": 1}, True)
        folder.method("ce" if name == "ce" else None).begin({"a": 1}, overwrite)
    assert [path.name for path in elsewhere.iterdir()] == ["thesis.txt"]


def test_a_recipe_that_was_edited_in_the_folder_is_kept(tmp_path):
    run(tmp_path)
    (tmp_path / "recipe.yaml").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(UsageError, match=r"recipe\.yaml \(changed since\)"):
            run(tmp_path, overwrite=overwrite)
    assert (tmp_path / "recipe.yaml").read_text() == "mine"
    (tmp_path / "recipe.yaml").unlink()
    run(tmp_path)
    assert (tmp_path / "recipe.yaml").read_text() == "recipe"


@pytest.mark.parametrize("name", ["seed-0", "seed-0/model", "seed-0/checkpoints"])
def test_a_file_in_a_folders_place_is_told_before_the_training(tmp_path, name):
    write(tmp_path / name, "mine")
    with pytest.raises(UsageError, match="is a file, where"):
        RunFolder(tmp_path).method(None).check(IDENTITY, True)
    assert (tmp_path / name).read_text() == "mine"
