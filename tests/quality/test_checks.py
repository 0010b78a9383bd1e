from __future__ import annotations

import numpy as np
import pytest

from synfill.generation.pipeline.generator import Sample
from synfill.quality.checks import Finding, default_checks, judge
from synfill.records import Cell, Request

REQUEST = Request(7, Cell("cat"), "a cat", "", seed=100)
CHECKS = default_checks((64, 48))
RNG = np.random.default_rng(0)


def sample(pixels, *, finite=True, flagged=False):
    return Sample(np.broadcast_to(pixels, (48, 64, 3)).astype(np.uint8), finite, flagged)


def test_a_good_image_is_accepted_with_its_scores():
    verdict = judge(REQUEST, 2, sample(RNG.integers(0, 256, (48, 64, 3))), CHECKS)
    assert verdict.accepted and verdict.reason == ""
    assert (verdict.request, verdict.attempt, verdict.seed) == (7, 2, 102)
    assert verdict.scores["contrast"] == pytest.approx(74, abs=3)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (Sample(np.zeros((64, 48, 3), np.uint8), True, False), "wrong size"),
        (sample(0, finite=False), "not finite"),
        (sample(0, flagged=True), "flagged by the safety checker"),
        (sample(0), "blank"),
        (sample(255), "blank"),
        (sample([10, 200, 30]), "blank"),
        (sample(128 + (RNG.random((48, 64, 3)) < 0.1)), "blank"),
    ],
)
def test_a_bad_image_is_rejected_with_its_reason(bad, reason):
    verdict = judge(REQUEST, 0, bad, CHECKS)
    assert (verdict.accepted, verdict.reason) == (False, reason)


def test_plain_but_real_pictures_pass():
    y, x = np.mgrid[0:48, 0:64]
    sky = 200 + y[..., None] / 6
    fog = 128 + RNG.normal(0, 2, (48, 64, 3))
    stroke = np.where((np.abs(x - 30) < 1) & (np.abs(y - 20) < 6), 0, 255)[..., None]
    only_blue = np.stack([x * 0, x * 0, x / 10], axis=-1)
    for picture in (sky, fog, stroke, only_blue):
        assert judge(REQUEST, 0, sample(picture), CHECKS).accepted


def test_further_checks_add_their_scores():
    def dim(request, image):
        return Finding(False, "too dim", {"light": 0.25})

    verdict = judge(REQUEST, 0, sample(RNG.integers(0, 256, (48, 64, 3))), (*CHECKS, dim))
    assert verdict.reason == "too dim"
    assert set(verdict.scores) == {"contrast", "light"}
