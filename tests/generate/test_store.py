from __future__ import annotations

import errno
import os

import pytest

from synfill.errors import RunError
from synfill.generate.shard import Outcome, shard_size
from synfill.generate.store import ShardStore
from synfill.records import Verdict


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
