"""Which files of a folder are pushed: those that its record lists, as they were written."""

import json
import os
import shutil

import pytest
from finished import make_finished

from synfill.errors import RunError, SynfillError
from synfill.hub.upload.listing import read_dataset

OWN = {
    "README.md", "synfill/run.json", "data/train-00000-of-00002.parquet",
    "data/train-00001-of-00002.parquet",
}  # fmt: skip


@pytest.fixture(params=[True, False], ids=["listed", "unlisted"])
def folder(request, tmp_path):
    return make_finished(tmp_path / "pets", shards=2, listed=request.param)


def edit(folder, change):
    path = folder / "synfill/run.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def test_what_is_not_ours_stays_here(folder, tmp_path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key").write_text("key")
    (folder / ".env").write_text("TOKEN=x")
    (folder / "data/.git").mkdir()
    (folder / "data/.git/config").write_text("x")
    (folder / "data/thesis.txt").write_text("x")
    (folder / "data/train-00007-of-00009.parquet").write_text("x")
    (folder / "data/link").symlink_to(tmp_path / "secret")
    (folder / "data/train-00009-of-00010.parquet").symlink_to(tmp_path / "secret/key")
    (folder / ".synfill").mkdir()
    os.mkfifo(folder / "synfill/pipe")
    local = read_dataset(folder)
    local.check()
    assert set(local.files) == OWN
    assert local.left_out == (
        ".env", "data/.git/", "data/link", "data/thesis.txt", "data/train-00007-of-00009.parquet",
        "data/train-00009-of-00010.parquet", "my-notes.txt", "synfill/pipe",
    )  # fmt: skip


def test_an_imagefolder_without_a_list(tmp_path):
    names = ["train/metadata.csv", "train/cat/real-0000000.png", "train/synthetic-0000002.jpg"]
    others = ["train/cat/mine.png", "train/real-0000012.png", "test/metadata.csv"]
    files = {name: b"x" for name in names + others}
    folder = make_finished(tmp_path / "pets", shards=2, files=files, listed=False)
    local = read_dataset(folder)
    assert set(local.files) == OWN | set(names)
    assert set(local.left_out) >= {"test/", "train/cat/mine.png", "train/real-0000012.png"}


def test_links_are_not_followed(folder, tmp_path):
    shard = folder / "data/train-00000-of-00002.parquet"
    shard.rename(tmp_path / "elsewhere.parquet")
    shard.symlink_to(tmp_path / "elsewhere.parquet")
    with pytest.raises(RunError, match=r"train-00000-of-00002\.parquet is a symbolic link"):
        read_dataset(folder)


@pytest.mark.parametrize("name", ["data", "synfill"])
def test_nor_are_folders_that_are_links(tmp_path, name):
    folder = make_finished(tmp_path / "pets", shards=2)
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="is a symbolic link"):
        read_dataset(folder)


@pytest.mark.parametrize("grown", [True, False])
def test_files_that_changed_since(tmp_path, grown):
    folder = make_finished(tmp_path / "pets", shards=2)
    shard = folder / "data/train-00001-of-00002.parquet"
    content = bytearray(shard.read_bytes())
    content[100] ^= 1
    shard.write_bytes(bytes(content) + b"x" * grown)
    with pytest.raises(RunError, match=r"1 file in .* changed since .*train-00001-of-00002"):
        read_dataset(folder).check()


def test_files_that_are_gone(tmp_path):
    folder = make_finished(tmp_path / "pets", shards=2)
    (folder / "data/train-00001-of-00002.parquet").unlink()
    with pytest.raises(RunError, match=r"train-00001-of-00002\.parquet is gone"):
        read_dataset(folder)
    (folder / "data/train-00001-of-00002.parquet").mkdir()
    with pytest.raises(RunError, match="is no regular file"):
        read_dataset(folder)


@pytest.mark.parametrize(
    "files",
    [
        None, 7, [], ["a"], {"../../secret": {"bytes": 1, "sha256": "0" * 64}},
        {"/etc/passwd": {"bytes": 1, "sha256": "0" * 64}}, {"a": {"bytes": "1", "sha256": ""}},
        {"a": None}, {"": {"bytes": 1, "sha256": "0" * 64}}, {"a//b": {}}, {"a\0b": {}},
    ],
)  # fmt: skip
def test_lists_that_cannot_be(tmp_path, files):
    folder = make_finished(tmp_path / "pets", shards=2)
    edit(folder, lambda record: record.update(files=files))
    with pytest.raises(RunError, match=r"list of files in .* is damaged"):
        read_dataset(folder)


@pytest.mark.parametrize(
    "splits",
    [None, 7, [], {"train": None}, {"train": {"files": "2"}}, {"train": {"files": True}}],
)
def test_splits_that_cannot_be(tmp_path, splits):
    folder = make_finished(tmp_path / "pets", shards=2, listed=False)
    edit(folder, lambda record: record.update(splits=splits))
    assert set(read_dataset(folder).files) == {"README.md", "synfill/run.json"}


def test_records_that_cannot_be_read(tmp_path):
    folder = make_finished(tmp_path / "pets", shards=2)
    path = folder / "synfill/run.json"
    for content in (b"[" * 100_000, b"\xff", b"", b"[]", b'{"identity": 1}'):
        path.write_bytes(content)
        with pytest.raises(RunError, match=r"run\.json"):
            read_dataset(folder)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(RunError, match="a pipe"):
        read_dataset(folder)
    shutil.rmtree(folder / "synfill")
    with pytest.raises(SynfillError, match="holds no dataset"):
        read_dataset(folder)


def test_it_is_said_what_is_not_pushed(alice, hub, finished):
    (finished / ".env").write_text("TOKEN=x")
    ran = alice("push", finished)
    assert ran.code == 0, ran.err
    assert "Not pushed, as the run didn't write it: .env, my-notes.txt." in ran.err
    assert ".env" not in hub.files("alice/pets-balanced")
    shard = finished / "data/train-00000-of-00003.parquet"
    shard.write_bytes(shard.read_bytes()[::-1])
    hub.requests.clear()
    ran = alice("push", finished)
    assert ran.code == 1
    assert "changed since the run wrote it: data/train-00000" in ran.err
    assert "Nothing was pushed" in ran.err and "synfill push" not in ran.err
    assert not any(request.startswith("POST") for request in hub.requests)
