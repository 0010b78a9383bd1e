from __future__ import annotations

import itertools

import pytest

from synfill.config.recipes.settings import StageSettings
from synfill.training.stage.schedule import learning_rate, total_steps


def rates(stage, steps_per_epoch):
    return [
        learning_rate(stage, step, steps_per_epoch)
        for step in range(total_steps(stage, steps_per_epoch))
    ]


def test_the_schedule_of_the_literature():
    """LDAM-DRW: 5 epochs of warm-up, x0.01 from epoch 160, x0.0001 of the base from 180."""
    stage = StageSettings(
        epochs=200, lr=0.1, schedule="step", milestones=(160, 180), gamma=0.01, warmup=5
    )
    found = rates(stage, 97)
    assert len(found) == 200 * 97
    assert found[0] == pytest.approx(0.1 / (5 * 97))
    assert found[5 * 97 - 1] == pytest.approx(0.1)
    assert all(b > a for a, b in itertools.pairwise(found[: 5 * 97]))
    assert set(found[5 * 97 : 160 * 97]) == {0.1}
    assert found[160 * 97] == pytest.approx(1e-3) and found[180 * 97 - 1] == pytest.approx(1e-3)
    assert found[180 * 97] == pytest.approx(1e-5) and found[-1] == pytest.approx(1e-5)


def test_below_one_is_a_share_of_the_stage():
    shares = StageSettings(
        epochs=40, lr=0.1, schedule="step", milestones=(0.8, 0.9), gamma=0.01, warmup=0.025
    )
    units = StageSettings(
        epochs=40, lr=0.1, schedule="step", milestones=(32, 36), gamma=0.01, warmup=1
    )
    assert rates(shares, 7) == rates(units, 7)


@pytest.mark.parametrize("warmup", [0.1, 0.34, 1.5, 2])
def test_a_warm_up_of_parts_of_steps_never_goes_beyond_the_rate(warmup):
    found = rates(StageSettings(epochs=3, lr=1, schedule="constant", warmup=warmup), 7)
    assert max(found) == 1 and found == sorted(found)


def test_shares_fall_on_the_same_step_as_the_epochs_they_stand_for():
    """0.55 * 100 is a little more than 55."""
    share = StageSettings(epochs=100, schedule="step", milestones=(0.55,))
    whole = StageSettings(epochs=100, schedule="step", milestones=(55,))
    assert rates(share, 98) == rates(whole, 98)


def test_cosine_goes_from_the_whole_rate_to_nearly_nothing():
    found = rates(StageSettings(epochs=4, lr=0.2, schedule="cosine"), 25)
    assert found[0] == 0.2 and found[50] == pytest.approx(0.1) and 0 < found[-1] < 1e-3 * 0.2 * 2
    assert found == sorted(found, reverse=True)


def test_a_stage_in_steps_counts_its_warm_up_and_milestones_in_steps():
    stage = StageSettings(steps=10, lr=1, schedule="step", milestones=(4, 8), gamma=0.5, warmup=2)
    assert rates(stage, 1000) == [0.5, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25]


def test_constant():
    assert rates(StageSettings(epochs=2, lr=0.3, schedule="constant"), 3) == [0.3] * 6
