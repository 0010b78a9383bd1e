"""Decides whether an image may go into the dataset. Knows pixels, neither diffusers nor files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np

from synfill.generation.pipeline.samples import Sample
from synfill.records import Request, Verdict

BLANK_BELOW: Final = 1.0
"""Standard deviation, in grey levels of 255, that some colour channel must reach.

Denoising that collapsed gives one flat colour, perhaps off by one level here and there (below
0.5). The plainest photographs (fog, a clear sky, a sheet of paper) have a gradient and noise of
2 levels and more, and a drawing of a single thin stroke has 5 and more."""


@dataclass(frozen=True)
class Finding:
    """What one check says about one image.

    Attributes:
        ok: Whether it lets the image pass.
        reason: Why not, in a few words; empty if it passes.
        scores: The figures that it computed, by name.
    """

    ok: bool
    reason: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)


class Check(Protocol):
    """Looks at one image. Called from several threads at once, so it keeps no state."""

    def __call__(self, request: Request, sample: Sample) -> Finding:
        """Judge the image that was made for a request."""


@dataclass(frozen=True)
class CheckSize:
    """Rejects an image that isn't as large as was asked for.

    Attributes:
        size: (width, height) in pixels.
    """

    size: tuple[int, int]

    def __call__(self, request: Request, sample: Sample) -> Finding:
        """Compare the size."""
        height, width, _ = sample.pixels.shape
        return _passed() if (width, height) == self.size else Finding(False, "wrong size")


def check_finite(request: Request, sample: Sample) -> Finding:
    """Rejects an image with a NaN in it: an overflow in 16 bits, or broken weights."""
    return _passed() if sample.finite else Finding(False, "not finite")


def check_flagged(request: Request, sample: Sample) -> Finding:
    """Rejects what the pipeline's own safety checker flagged, which is black."""
    return Finding(False, "flagged by the safety checker") if sample.flagged else _passed()


def check_blank(request: Request, sample: Sample) -> Finding:
    """Rejects an image of one flat colour; see BLANK_BELOW. Its score is the contrast."""
    contrast = float(sample.pixels.reshape(-1, 3).std(axis=0, dtype=np.float64).max())
    ok = contrast >= BLANK_BELOW
    return Finding(ok, "" if ok else "blank", {"contrast": round(contrast, 3)})


def default_checks(size: tuple[int, int]) -> tuple[Check, ...]:
    """The checks that every run makes, the most telling reason first.

    Args:
        size: (width, height) in pixels that the generator is to give.
    """
    return (CheckSize(size), check_finite, check_flagged, check_blank)


def judge(request: Request, attempt: int, sample: Sample, checks: Sequence[Check]) -> Verdict:
    """Put an image through all checks, up to the first that rejects it.

    Args:
        request: What was asked for.
        attempt: 0 for the first try.
        sample: What was made.
        checks: In order.

    Returns:
        The verdict, with the scores of every check that was made.
    """
    seed = request.seed + attempt
    scores: dict[str, float] = {}
    for check in checks:
        finding = check(request, sample)
        scores |= finding.scores
        if not finding.ok:
            return Verdict(request.id, attempt, seed, False, finding.reason, scores)
    return Verdict(request.id, attempt, seed, True, "", scores)


def _passed() -> Finding:
    return Finding(True)
