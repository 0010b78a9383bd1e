from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from synfill.config.components import CHECKS
from synfill.quality.check import Check, Facts, Finding, Inspector
from synfill.quality.judge import ALWAYS_ON, Checks, identify_checks
from synfill.records import Cell, Request, Sample

REQUEST = Request(7, Cell("cat"), "a cat", "", seed=100).again(2)
FACTS = Facts((64, 48))
RNG = np.random.default_rng(0)


def sample(pixels, *, finite=True, flagged=False):
    return Sample(np.broadcast_to(pixels, (48, 64, 3)).astype(np.uint8), finite, flagged)


def judge(image, *chosen):
    (verdict,) = Checks(FACTS, chosen).judge([REQUEST], [image])
    return verdict


def test_a_good_image_is_accepted_with_its_scores():
    verdict = judge(sample(RNG.integers(0, 256, (48, 64, 3))))
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
    verdict = judge(bad)
    assert (verdict.accepted, verdict.reason) == (False, reason)


def test_plain_but_real_pictures_pass():
    y, x = np.mgrid[0:48, 0:64]
    sky = 200 + y[..., None] / 6
    fog = 128 + RNG.normal(0, 2, (48, 64, 3))
    stroke = np.where((np.abs(x - 30) < 1) & (np.abs(y - 20) < 6), 0, 255)[..., None]
    only_blue = np.stack([x * 0, x * 0, x / 10], axis=-1)
    for picture in (sky, fog, stroke, only_blue):
        assert judge(sample(picture)).accepted


class Dim(Check):
    """Rejects what is dim."""

    name: Literal["dim"] = "dim"
    below: float = 0.3
    weights: str = ""

    def build(self, facts):
        class Looks(Inspector):
            def look(_, requests, samples):
                SEEN.append([request.id for request in requests])
                light = [float(image.pixels.mean() / 255) for image in samples]
                return [
                    Finding(one >= self.below, "" if one >= self.below else "too dim", {"light": 1})
                    for one in light
                ]

            def close(_):
                SEEN.append("closed")

        SEEN.append(facts.size)
        return Looks()

    def fingerprint(self):
        return self.weights and f"hash of {self.weights}"


SEEN = []


def test_further_checks_add_their_scores():
    verdict = judge(sample(RNG.integers(0, 60, (48, 64, 3))), Dim())
    assert verdict.reason == "too dim"
    assert set(verdict.scores) == {"contrast", "light"}


def test_a_check_sees_what_passed_those_before_it_and_is_opened_once():
    SEEN.clear()
    light, dim = (sample(RNG.integers(0, n, (48, 64, 3))) for n in (256, 60))
    requests = [Request(i, Cell("cat"), "a cat", "", i) for i in range(4)]
    checks = Checks(FACTS, [Dim()])
    assert SEEN == []
    verdicts = checks.judge(requests, [light, sample(0), dim, light])
    assert [v.reason for v in verdicts] == ["", "blank", "too dim", ""]
    assert [v.request for v in verdicts] == [0, 1, 2, 3]
    checks.judge(requests[:1], [sample(0)])
    checks.judge(requests[:1], [light])
    checks.close()
    assert [FACTS.size, [0, 2, 3], [0], "closed"] == SEEN


def test_what_is_chosen_is_part_of_the_identity():
    assert identify_checks([]) == {}
    assert identify_checks([Dim(), Dim(below=0.1, weights="w")]) == {
        "check": [
            {"name": "dim", "below": 0.3, "weights": ""},
            {"name": "dim", "below": 0.1, "weights": "w", "model": "hash of w"},
        ]
    }


def test_the_checks_that_are_always_on_are_registered():
    assert set(ALWAYS_ON) <= set(CHECKS.names)
    for check in CHECKS:
        assert isinstance(check().build(FACTS), Inspector)
