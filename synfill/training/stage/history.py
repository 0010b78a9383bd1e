"""The history of a training run: an entry for each epoch, in checkpoints and in history.jsonl.

Both are files that may have been damaged, or be of somebody else: they are checked when read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synfill.reading import parse_json, read_regular
from synfill.records import JsonObject

_WHOLE = ("stage", "epoch", "epochs", "step", "images")
_NUMBERS = ("lr", "loss", "accuracy", "seconds", "images_per_second")


def read_history(path: Path) -> list[JsonObject]:
    """The entries of history.jsonl.

    Raises:
        OSError: It isn't there, or can't be read.
        ValueError: It is damaged.
    """
    return check_history([parse_json(line) for line in read_regular(path).splitlines()])


def check_history(entries: Any) -> list[JsonObject]:
    """The entries, if they are a history.

    Raises:
        ValueError: They are something else.
    """
    if not isinstance(entries, list):
        raise ValueError("its history is no list")
    position = (0, 0, 0)
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("stage_name"), str):
            raise ValueError("an entry of its history is none")
        if not all(_is_whole(entry.get(key)) for key in _WHOLE):
            raise ValueError(f"an entry of its history lacks one of {', '.join(_WHOLE)}")
        if not all(_is_number(entry.get(key)) for key in _NUMBERS):
            raise ValueError(f"an entry of its history lacks one of {', '.join(_NUMBERS)}")
        validation = entry.get("validation", {"loss": 0, "accuracy": 0})
        if not isinstance(validation, dict) or not all(
            _is_number(validation.get(key)) for key in ("loss", "accuracy")
        ):
            raise ValueError("an entry's validation has no loss and accuracy")
        before, position = position, (entry["stage"], entry["epoch"], entry["step"])
        if position[:2] <= before[:2] or (position[0] == before[0] and position[2] <= before[2]):
            raise ValueError("its history goes backwards")
    return entries


def cost_of(history: Sequence[JsonObject]) -> tuple[int, int, float]:
    """Optimizer steps, images that went through training, and seconds, over all stages."""
    ends = {entry["stage"]: entry["step"] for entry in history}
    return (
        sum(ends.values()),
        sum(entry["images"] for entry in history),
        round(sum(entry["seconds"] for entry in history), 3),
    )


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**53


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value >= 0
