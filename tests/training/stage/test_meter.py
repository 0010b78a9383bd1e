"""The meter on real tensors, with the accelerator of one process."""

import time

import pytest
import torch

from synfill.config.recipes.settings import StageSettings
from synfill.reporter import SilentReporter
from synfill.training.launch import start_accelerator
from synfill.training.stage.meter import Meter, StagePlan


@pytest.fixture
def accelerator():
    return start_accelerator("cpu", "float32", False)


def plan(steps=40, images=16):
    stage = StageSettings(steps=steps)
    return StagePlan("ce, seed 0", "stages.0", "network", stage, steps, 4, 10, 10 * images)


def test_images_are_counted_exactly(accelerator):
    """float32 has no 16,777,217."""
    meter = Meter(plan(), accelerator, 0, SilentReporter())
    meter.begin()
    meter.begin_epoch(0)
    for step, images in enumerate((2**24, 1, 2**24), start=1):
        meter.count(torch.tensor(1.0), torch.tensor(float(images)), images, step)
    total, right, seen = meter.end(3)
    assert seen == right == total == 2**25 + 1
    assert isinstance(seen, int)


@pytest.mark.parametrize("first", [0, 24])
def test_the_time_left_is_that_of_the_rate_shown_with_it(accelerator, first):
    shown = []

    class Listener(SilentReporter):
        def progress(self, label, done, total, detail="", rate=0.0, seconds_left=0.0):
            shown.append((done, total, rate, seconds_left))

    meter = Meter(plan(), accelerator, first, Listener())
    meter.begin()
    meter.begin_epoch(first // 10)
    for step in range(first + 1, 41):
        time.sleep(0.01)
        meter.count(torch.tensor(1.0), torch.tensor(8.0), 16, step)
    meter.end(40)
    assert shown[0][0] >= (first + 16) * 16 - 16 and shown[-1][:2] == (640, 640)
    for done, total, rate, seconds_left in shown:
        assert seconds_left == pytest.approx((total - done) / rate)
    # At most 100 steps of 16 images a second, the earlier session's not counted.
    assert 0 < shown[0][2] <= 1600
