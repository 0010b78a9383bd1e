"""Numbers that a user may write: how large they may be, and how they are read."""

from __future__ import annotations

import re
from fractions import Fraction

MAX_SEED = 2**48 - 1
LARGEST = 2**31 - 1
"""More images than any dataset here has."""

# Fraction itself takes "1e999999999", and computes for hours.
_NUMBER = re.compile(
    r"[-+]?(?:\d{1,15}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][-+]?\d{1,2})?|\d{1,15}/\d{1,15}", re.ASCII
)


def parse_number(text: str) -> Fraction:
    """A number that a user wrote: "0.25", "1e-3", "1/3".

    Raises:
        ValueError: It is none, or one that no setting takes.
    """
    try:
        if _NUMBER.fullmatch(text.strip()) is None:
            raise ValueError(text)
        return Fraction(text)
    except ZeroDivisionError:
        raise ValueError(text) from None
