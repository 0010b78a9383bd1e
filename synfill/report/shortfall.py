"""What a limit leaves unfilled, in words. Pure text."""

from __future__ import annotations

from collections.abc import Sequence

from synfill.wording import counted

SHOWN = 5


def what_is_missing(counts: Sequence[tuple[str, int, int]], limit: int | None, what: str) -> str:
    """Say which classes or cells have fewer images than was asked for; "" where none has.

    Args:
        counts: (name, images in all, images wanted) of each.
        limit: How many images were to be made at most; None for no limit: then what is missing
            was never accepted, and is told with the verdicts.
        what: "class" or "cell".
    """
    short = [(wanted - total, name, total, wanted) for name, total, wanted in counts]
    short = sorted((one for one in short if one[0] > 0), key=lambda one: -one[0])
    if limit is None or not short:
        return ""
    missing = sum(one[0] for one in short)
    many = {"class": "classes", "cell": "cells"}[what]
    shown = ", ".join(f"{name} {total:,} of {wanted:,}" for _, name, total, wanted in short[:SHOWN])
    more = ", ..." if len(short) > SHOWN else ""
    return (
        f"Not filled up: with the limit of {counted(limit, 'image')}, "
        f"{len(short):,} of {counted(len(counts), what, many)} "
        f"{'lacks' if len(short) == 1 else 'lack'} {counted(missing, 'image')} ({shown}{more})."
    )
