from __future__ import annotations

import errno
import json
import os

import pyarrow.parquet as pq
import pytest

from synfill.errors import RunError
from synfill.generation.fill.store import ShardStore
from synfill.records import Verdict
from synfill.runs.shard import Outcome, find_layout, find_shards, shard_size


def outcomes(requests, image=b"image"):
    made = []
    for request in requests:
        if request % 3 == 0:
            verdict = Verdict(request, 0, request * 10, False, "blank", {"contrast": 0.1})
            made.append(Outcome(verdict))
        verdict = Verdict(
            request, int(request % 3 == 0), request * 10 + 1, True, "", {"contrast": 5.0, "a": 1.0}
        )
        made.append(Outcome(verdict, image + str(request).encode(), ".png"))
    return made


@pytest.fixture
def store(tmp_path):
    opened = ShardStore(tmp_path / "shards", total=10, shard_size=4)
    for index in (0, 2):
        opened.write(index, outcomes(opened.requests(index)), [4, 2, 2])
    return opened


def reopened(store, notes=None):
    notes = [] if notes is None else notes
    return ShardStore(store.folder, store.total, store.shard_size, notes.append)


@pytest.mark.parametrize(("batch", "size"), [(1, 32), (5, 35), (8, 32), (32, 32), (48, 48)])
def test_a_shard_is_the_smallest_whole_number_of_batches_from_32(batch, size):
    assert shard_size(batch) == size


def test_what_was_written_comes_back(store):
    again = reopened(store)
    assert (again.count, again.finished(), again.missing()) == (3, [0, 2], [1])
    assert list(again.requests(2)) == [8, 9]
    assert again.read(2) == outcomes([8, 9])
    assert again.batch_sizes(0) == (4, 2, 2)
    assert again.last_batch_size() == 2
    assert [verdict.request for verdict in again.verdicts()] == [0, 0, 1, 2, 3, 3, 8, 9, 9]
    assert next(again.verdicts()).scores == {"contrast": 0.1}
    assert [outcome.image for outcome in again.accepted()][:2] == [b"image0", b"image1"]


def test_an_empty_store_has_no_batch_size(tmp_path):
    assert ShardStore(tmp_path / "new", 0, 32).missing() == []
    assert ShardStore(tmp_path / "new", 1, 32).last_batch_size() is None


def test_the_same_outcomes_give_the_same_bytes(store):
    before = store._path(0).read_bytes()
    store.write(0, outcomes(store.requests(0)), [4, 2, 2])
    assert store._path(0).read_bytes() == before


def test_a_shard_must_have_all_of_its_requests(store):
    with pytest.raises(ValueError, match="shard 1"):
        store.write(1, outcomes([4, 5, 6]), [4])


def test_what_a_killed_run_left_half_written_is_removed(store):
    left = store.folder / ".shard-000001.parquet.tmp"
    left.write_bytes(b"half")
    assert reopened(store).missing() == [1]
    assert not left.exists()


@pytest.mark.parametrize("kept", [0, 3, 100, -1])
def test_a_truncated_shard_is_made_again(store, kept):
    path = store._path(0)
    path.write_bytes(path.read_bytes()[:kept])
    notes = []
    again = reopened(store, notes)
    assert again.missing() == [0, 1]
    assert not path.exists()
    assert len(notes) == 1 and "shard-000000.parquet is damaged" in notes[0]


def test_another_runs_shard_is_made_again(store):
    os.replace(store._path(2), store._path(1))
    assert reopened(store).missing() == [1, 2]
    assert ShardStore(store.folder, 10, 5).missing() == [0, 1]


def test_a_flipped_bit_is_found_when_it_is_read(store):
    path = store._path(0)
    content = bytearray(path.read_bytes())
    content[content.index(b"image1") + 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"shard-000000.parquet can't be read") as caught:
        reopened(store).read(0)
    assert "Delete this file" in caught.value.hint


def test_a_full_disk_keeps_what_is_finished(store, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="disk is full"):
        store.write(1, outcomes(store.requests(1)), [4])
    monkeypatch.undo()
    assert store.missing() == [1]
    assert sorted(os.listdir(store.folder)) == ["shard-000000.parquet", "shard-000002.parquet"]


@pytest.mark.parametrize("kind", ["pipe", "link", "dangling link"])
def test_what_is_no_file_in_a_shards_place_is_made_again(store, tmp_path, kind):
    path = store._path(0)
    (tmp_path / "victim").write_bytes(path.read_bytes())
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(tmp_path / ("victim" if kind == "link" else "nowhere"))
    assert list(find_shards(store.folder)) == [2]
    assert reopened(store).missing() == [0, 1]
    assert (tmp_path / "victim").exists()


def test_a_folder_in_a_shards_place_is_named(store):
    store._path(1).mkdir()
    with pytest.raises(RunError, match=r"shard-000001.parquet, where .* is a folder"):
        reopened(store)


@pytest.mark.parametrize(
    "change",
    [{"first": -4}, {"end": 0}, {"batch_sizes": []}, {"batch_sizes": [0]}, {"batch_sizes": None},
     {"batch_sizes": 4}, {"first": "0"}, {"versions": 1}, {"run": None}, {"first": None}],
    ids=str,
)  # fmt: skip
def test_what_a_shard_says_of_itself_is_not_believed(store, change):
    path = store._path(0)
    table = pq.read_table(path)
    said = json.loads(table.schema.metadata[b"synfill"]) | change
    pq.write_table(table.replace_schema_metadata({b"synfill": json.dumps(said)}), path)
    notes = []
    assert reopened(store, notes).missing() == [0, 1]
    assert "makes no sense" in notes[0]


def test_other_columns_are_damage(store):
    path = store._path(0)
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["request"]), path)
    assert reopened(store).missing() == [0, 1]


def test_another_runs_shards_are_made_again(tmp_path):
    first = ShardStore(tmp_path, 10, 4, run="one")
    first.write(0, outcomes(first.requests(0)), [4])
    assert ShardStore(tmp_path, 10, 4, run="one").finished() == [0]
    assert ShardStore(tmp_path, 10, 4, run="two").finished() == []


def test_versions_are_kept_with_the_shards(store):
    now = ShardStore(store.folder, 10, 4, versions={"torch": "2"}, first_versions={"torch": "1"})
    now.write(1, outcomes(now.requests(1)), [4])
    assert now.versions() == [{"torch": "1"}, {"torch": "2"}]
    again = ShardStore(store.folder, 10, 4, versions={"torch": "3"}, first_versions={"torch": "1"})
    assert again.versions() == [{"torch": "1"}, {"torch": "2"}]


def test_a_part_of_a_shard_is_taken_over_and_filled(tmp_path):
    store = ShardStore(tmp_path, 10, 4, versions={"torch": "2"})
    store.take_over(0, outcomes(range(4)), [8], [{"torch": "1"}])
    store.take_over(1, outcomes([4, 6]), [8], [{"torch": "1"}])
    for opened in (store, ShardStore(tmp_path, 10, 4, versions={"torch": "2"})):
        assert (opened.finished(), opened.missing(), opened.decided()) == ([0], [1, 2], 6)
        assert opened.to_make(1) == [5, 7]
        assert opened.taken(1) == outcomes([4, 6])
        assert opened.taken(2) == []
    opened.write(1, outcomes(range(4, 8)), [2])
    assert opened.batch_sizes(1) == (8, 2)
    assert opened.versions() == [{"torch": "1"}, {"torch": "2"}]
    assert sorted(os.listdir(tmp_path)) == ["shard-000000.parquet", "shard-000001.parquet"]
    assert ShardStore(tmp_path, 10, 4).decided() == 8


@pytest.mark.parametrize("sizes", [(4, 48), (4, 16), (48, 48), (1, 0), (0, 0)])
def test_the_layout_is_found_in_the_shards(tmp_path, sizes):
    store = ShardStore(tmp_path, 80, 32)
    for index in (0, 2):
        store.write(index, outcomes(store.requests(index)), [4])
    shards = find_shards(tmp_path)
    assert find_layout(shards, *sizes, total=80) == (4, 32)
    assert find_layout(shards, 4, 32, total=80) == (4, 32)
    assert find_layout(shards, *sizes, total=None) == (4, 32)
    assert find_layout({}, *sizes, total=80) is None
