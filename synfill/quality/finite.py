"""The check for numbers that are none."""

from __future__ import annotations

from typing import Literal

from synfill.quality.check import PASSED, Check, EachImage, Facts, Finding, Inspector


class Finite(Check):
    """Rejects an image with a NaN in it: an overflow in 16 bits, or broken weights."""

    name: Literal["finite"] = "finite"

    def build(self, facts: Facts) -> Inspector:
        """Ready to look."""
        return EachImage(lambda image: PASSED if image.finite else Finding(False, "not finite"))
