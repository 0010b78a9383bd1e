"""The check for images of one flat colour."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np

from synfill.quality.check import Check, EachImage, Facts, Finding, Inspector
from synfill.records import Sample

BLANK_BELOW: Final = 1.0
"""Standard deviation, in grey levels of 255, that some colour channel must reach.

Denoising that collapsed gives one flat colour, perhaps off by one level here and there (below
0.5). The plainest photographs (fog, a clear sky, a sheet of paper) have a gradient and noise of
2 levels and more, and a drawing of a single thin stroke has 5 and more."""


class Blank(Check):
    """Rejects an image of one flat colour; its score is the contrast."""

    name: Literal["blank"] = "blank"

    def build(self, facts: Facts) -> Inspector:
        """Ready to look."""
        return EachImage(_find)


def _find(sample: Sample) -> Finding:
    contrast = float(sample.pixels.reshape(-1, 3).std(axis=0, dtype=np.float64).max())
    ok = contrast >= BLANK_BELOW
    return Finding(ok, "" if ok else "blank", {"contrast": round(contrast, 3)})
