"""Checks that look across all images once the shards are done."""

import hashlib
import os
from typing import Any, ClassVar

import pytest
from filling import Noise, digest, run

from synfill.errors import RunError
from synfill.generation.fill.store import ShardStore
from synfill.quality.check import Check, Finding, Inspector
from synfill.records import Verdict

REJECTED = [1000, 2000, 2001, 10_000, 20_000, 20_001, 20_002]
"""Seeds: of requests 0, 1 (twice), 9, and of 19 every attempt."""


class Across(Check):
    """Rejects the images of some seeds, and scores all others, once all are there."""

    name: str = "across"
    looks_across: ClassVar[bool] = True
    seeds: tuple[int, ...] = tuple(REJECTED)
    looks: Any

    def build(self, facts):
        return AtWork(self)


class AtWork(Inspector):
    def __init__(self, check):
        self._check = check

    def look(self, requests, samples):
        return [Finding(True, "", {"seen": 1.0})] * len(samples)

    def after(self, requests, verdicts, read_image):
        assert [request.id for request in requests] == sorted({v.request for v in verdicts})
        images = {v.request: read_image(v.request) for v in verdicts if v.accepted}
        self._check.looks.append(len(images))
        for v in verdicts:
            if v.accepted and v.seed in self._check.seeds:
                yield Verdict(v.request, v.attempt, v.seed, False, "too many", v.scores)
            elif v.accepted:
                mark = int(hashlib.sha256(images[v.request]).hexdigest()[:4], 16)
                yield Verdict(v.request, v.attempt, v.seed, True, "", v.scores | {"mark": mark})


def made(folder, **changes):
    check = Across(looks=[])
    bad = [5000]  # request 4 fails once before anything is looked across
    store, report, *_ = run(folder, Noise(bad=bad, **changes), checks=[check])
    return store, report, check.looks


def test_what_is_rejected_is_made_again_and_looked_at_again(tmp_path):
    store, report, looks = made(tmp_path)
    assert looks == [20, 20, 20, 19]
    assert (report.accepted, report.unfilled, report.rejected) == (19, (19,), 8)
    of_1 = [(v.attempt, v.seed, v.reason) for v in store.verdicts() if v.request == 1]
    assert of_1 == [(0, 2000, "too many"), (1, 2001, "too many"), (2, 2002, "")]
    assert all("mark" in v.scores for v in store.verdicts() if v.accepted)
    assert [v.reason for v in store.verdicts() if v.request == 4] == ["blank", ""]
    assert store.batch_sizes(0)[:2] == (4, 4) and len(store.batch_sizes(0)) > 2
    # Nothing is left to do.
    _, again, looks = made(tmp_path)
    assert (again.made, looks, again.rejected) == (0, [], 8)


@pytest.mark.parametrize("stop_after", [0, 3, 6, 7, 8, 9, 10])
def test_an_interrupted_run_goes_on_to_the_same_bytes(tmp_path, stop_after):
    made(tmp_path / "whole")
    try:
        made(tmp_path / "cut", stop_after=stop_after)
    except KeyboardInterrupt:
        pass
    else:
        assert stop_after == 10
    made(tmp_path / "cut")
    assert digest(tmp_path / "cut") == digest(tmp_path / "whole")


@pytest.mark.parametrize("writes", range(3, 9))
def test_a_run_that_is_stopped_while_shards_are_written_anew(tmp_path, monkeypatch, writes):
    made(tmp_path / "whole")
    write, left = ShardStore.write, [writes]

    def stopping(self, *arguments):
        left[0] -= 1
        if left[0] < 0:
            raise RunError("stopped")
        write(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(ShardStore, "write", stopping)
        with pytest.raises(RunError, match="stopped"):
            made(tmp_path / "cut")
    made(tmp_path / "cut")
    assert digest(tmp_path / "cut") == digest(tmp_path / "whole")


def test_a_damaged_shard_is_made_again_with_what_was_rejected_in_it(tmp_path):
    store, *_ = made(tmp_path)
    before = digest(tmp_path)
    store._path(2).write_bytes(b"damaged")
    _, report, looks = made(tmp_path)
    assert digest(tmp_path) == before and looks == [] and report.made > 4


def test_a_damaged_record_of_rejections_is_found_out_again(tmp_path):
    made(tmp_path)
    first = sorted(name for name in os.listdir(tmp_path) if name.startswith("across"))[0]
    (tmp_path / first).write_bytes(b"{")
    _, report, looks = made(tmp_path)
    # What was rejected then is gone already: one look finds nothing more.
    assert looks == [19] and report.rejected == 8


def test_without_such_a_check_nothing_is_left_beside_the_shards(tmp_path):
    run(tmp_path, Noise())
    assert all(name.startswith("shard-") for name in os.listdir(tmp_path))
