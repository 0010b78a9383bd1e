from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from filling import Noise, digest, run

from synfill.errors import RunError
from synfill.generation.fill.store import ShardStore
from synfill.quality.check import Check, Finding, Inspector


class Looks(Check):
    """A check that looks as a function does."""

    name: str = "looks"
    find: Any

    def build(self, facts):
        inspector = Inspector()
        inspector.look = self.find
        return inspector


def test_every_request_gets_its_image_in_plan_order(tmp_path):
    store, report, notes, progress = run(tmp_path, Noise())
    assert store.missing() == [] and notes == []
    assert [outcome.verdict.request for outcome in store.accepted()] == list(range(20))
    assert (report.accepted, report.rejected, report.unfilled, report.made) == (20, 0, (), 20)
    assert store.batch_sizes(0) == (4, 4)
    done = [each.done for each in progress]
    assert done == sorted(done) and done[-1] == 20
    assert progress[-1].label == "cat" and progress[-1].total == 20


def test_a_rejected_request_is_tried_again_with_the_next_seed(tmp_path):
    # Request 2 fails once, request 9 always.
    bad = [3000, 10000, 10001, 10002]
    store, report, _, progress = run(tmp_path, Noise(bad=bad))
    assert (report.accepted, report.rejected, report.unfilled) == (19, 4, (9,))
    of_2 = [v for v in store.verdicts() if v.request == 2]
    assert [(v.attempt, v.seed, v.accepted, v.reason) for v in of_2] == [
        (0, 3000, False, "blank"),
        (1, 3001, True, ""),
    ]
    of_9 = [v for v in store.verdicts() if v.request == 9]
    assert [v.attempt for v in of_9] == [0, 1, 2]
    done = [each.done for each in progress]
    assert done == sorted(done)


def test_one_try_is_one_try(tmp_path):
    _, report, _, _ = run(tmp_path, Noise(bad=[1000]), tries=1)
    assert (report.unfilled, report.made) == ((0,), 20)


@pytest.mark.parametrize("stop_after", [0, 1, 2, 3, 4, 6])
def test_an_interrupted_run_goes_on_to_the_same_bytes(tmp_path, stop_after):
    bad = [2000, 9000, 9001, 9002, 20000]
    run(tmp_path / "whole", Noise(bad=bad))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", Noise(bad=bad, stop_after=stop_after))
    before = digest(tmp_path / "cut")
    maker = Noise(bad=bad)
    _, report, notes, _ = run(tmp_path / "cut", maker)
    after = digest(tmp_path / "cut")
    assert after == digest(tmp_path / "whole")
    assert before.items() <= after.items() and notes == []
    # Of a run that was cut, the report counts everything.
    assert (report.accepted, report.unfilled, report.rejected) == (19, (8,), 5)
    ours = [thread.name for thread in threading.enumerate() if thread.name.startswith("synfill-")]
    assert ours == []


def test_a_finished_run_makes_nothing(tmp_path):
    run(tmp_path, Noise())
    maker = Noise()
    _, report, _, progress = run(tmp_path, maker)
    assert (maker.batches, report.made, report.accepted, progress) == ([], 0, 20, [])


def test_a_damaged_shard_is_made_again_to_the_same_bytes(tmp_path):
    store, *_ = run(tmp_path, Noise())
    before = digest(tmp_path)
    path = store._path(1)
    path.write_bytes(path.read_bytes()[:200])
    _, report, notes, _ = run(tmp_path, Noise())
    assert digest(tmp_path) == before
    assert report.made == 8 and "damaged" in notes[0]


def test_running_out_of_memory_halves_the_batch(tmp_path):
    maker = Noise(fits=3)
    store, report, notes, _ = run(tmp_path / "halved", maker, batch_size=8)
    assert notes == [
        "Out of memory at a batch of 8: going on with 4.",
        "Out of memory at a batch of 4: going on with 2.",
    ]
    assert report.batch_size == 2 and report.accepted == 20
    assert max(len(batch) for batch in maker.batches) == 2
    assert store.batch_sizes(0) == (2, 2, 2, 2)
    assert store.last_batch_size() == 2
    # A resumed run begins with the recorded size, and gets the same bytes.
    run(tmp_path / "small", Noise(), batch_size=2)
    assert digest(tmp_path / "small") == digest(tmp_path / "halved")


def test_no_memory_for_a_single_image(tmp_path):
    with pytest.raises(RunError, match="not enough memory") as caught:
        run(tmp_path, Noise(fits=0))
    assert "--offload" in caught.value.hint


class Slow(Noise):
    """Hands its images over only after a while, as a GPU does: starting one takes no time."""

    seconds = 0.2

    def __init__(self, **options):
        super().__init__(**options)
        self.free = time.monotonic()

    def start(self, requests):
        made = super().start(requests)
        ready = self.free = max(self.free, time.monotonic()) + self.seconds

        def wait():
            time.sleep(max(0, ready - time.monotonic()))
            return made()

        return wait


def slow_check(requests, samples):
    time.sleep(0.05)
    return [Finding(True)] * len(samples)


@pytest.mark.parametrize("stopped_after", [0, 3])
def test_the_time_left_is_what_is_to_be_made_at_the_rate_that_is_told(tmp_path, stopped_after):
    total, size = 200, 20
    if stopped_after:
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, Noise(stop_after=stopped_after), total, size, shard=size)
    *_, progress = run(tmp_path, Slow(), total, size, shard=size, checks=[Looks(find=slow_check)])
    before = progress[0].total - len(progress[:-1]) * size
    for number, each in enumerate(progress[:-1], start=1):
        # Images that a batch in progress is made of may or may not be counted.
        to_make = total - before - number * size
        told = each.seconds_left * each.images_per_second
        assert to_make - 1e-6 <= told <= to_make + 2 * size + 1e-6, (number, each)
        assert 20 < each.images_per_second < 101, (number, each)
    assert (progress[-1].done, progress[-1].seconds_left) == (total, 0)


def test_images_that_replace_rejected_ones_are_in_the_time_left(tmp_path):
    # Every other first attempt fails.
    bad = [1000 * (i + 1) for i in range(0, 80, 2)]
    *_, progress = run(tmp_path, Slow(bad=bad), 80, 8, shard=8)
    told = [each.seconds_left * each.images_per_second for each in progress]
    middle = progress[len(progress) // 2]
    left = middle.seconds_left * middle.images_per_second
    assert left > 1.2 * (80 - middle.done - 16) and told[-1] == 0


def test_a_failing_check_surfaces(tmp_path):
    def broken(requests, samples):
        raise ZeroDivisionError("in a thread")

    with pytest.raises(ZeroDivisionError, match="in a thread"):
        run(tmp_path, Noise(), checks=[Looks(find=broken)])
    assert list(tmp_path.iterdir()) == []


def test_a_failing_write_surfaces(tmp_path, monkeypatch):
    def fail(*_):
        raise RunError("The disk is full")

    monkeypatch.setattr(ShardStore, "write", fail)
    with pytest.raises(RunError, match="disk is full"):
        run(tmp_path, Noise(), total=8)


def test_the_batch_before_is_checked_while_the_next_is_made(tmp_path):
    """The device never waits for a check, not even between shards."""
    released = threading.Event()
    made = []

    class Releasing(Noise):
        def start(self, requests):
            if made:
                released.set()
            made.append(len(requests))
            return super().start(requests)

    def waits(requests, samples):
        return [Finding(released.wait(10))] * len(samples)

    checks = [Looks(find=waits)]
    _, report, _, _ = run(tmp_path, Releasing(), batch_size=8, shard=8, checks=checks)
    assert report.accepted == 20


def test_a_real_pipeline_fills_a_store(tmp_path, generator):
    maker = generator("sd-safe")
    store, report, _, _ = run(tmp_path / "a", maker, total=6, batch_size=3, shard=3, tries=8)
    assert report.rejected > 0
    assert report.accepted == 6
    for outcome in store.accepted():
        assert outcome.image.startswith(b"\x89PNG") and outcome.extension == ".png"
    reasons = {verdict.reason for verdict in store.verdicts() if not verdict.accepted}
    assert reasons == {"flagged by the safety checker"}
    run(tmp_path / "b", maker, total=6, batch_size=3, shard=3, tries=8)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
