"""The check for what the pipeline's own safety checker flagged."""

from __future__ import annotations

from typing import Literal

from synfill.quality.check import PASSED, Check, EachImage, Facts, Finding, Inspector

_FLAGGED = Finding(False, "flagged by the safety checker")


class Flagged(Check):
    """Rejects what the pipeline's own safety checker flagged, which is black."""

    name: Literal["flagged"] = "flagged"

    def build(self, facts: Facts) -> Inspector:
        """Ready to look."""
        return EachImage(lambda image: _FLAGGED if image.flagged else PASSED)
