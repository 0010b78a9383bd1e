"""The check of an image's size."""

from __future__ import annotations

from typing import Literal

from synfill.quality.check import PASSED, Check, EachImage, Facts, Finding, Inspector
from synfill.records import Sample


class Size(Check):
    """Rejects an image that isn't as large as was asked for."""

    name: Literal["size"] = "size"

    def build(self, facts: Facts) -> Inspector:
        """Ready to look."""

        def find(sample: Sample) -> Finding:
            height, width, _ = sample.pixels.shape
            return PASSED if (width, height) == facts.size else Finding(False, "wrong size")

        return EachImage(find)
