"""The history of a training run: an entry for each epoch, in checkpoints and in history.jsonl.

Both are files that may have been damaged, or be of somebody else: they are checked when read.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, FiniteFloat, TypeAdapter, ValidationError

from synfill.reading import parse_json, read_regular
from synfill.records import JsonObject
from synfill.runs.record import Record, describe_invalid

_Whole = Annotated[int, Field(gt=0, lt=2**53)]
_Number = Annotated[FiniteFloat, Field(ge=0)]


class _Fit(Record):
    loss: _Number
    accuracy: _Number


class _Entry(_Fit):
    stage: _Whole
    stage_name: str
    epoch: _Whole
    epochs: _Whole
    step: _Whole
    images: _Whole
    lr: _Number
    seconds: _Number
    images_per_second: _Number
    validation: _Fit = _Fit(loss=0, accuracy=0)


_ENTRIES = TypeAdapter(list[_Entry])


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
    try:
        checked = _ENTRIES.validate_python(entries)
    except ValidationError as error:
        raise ValueError(f"its history is none: {describe_invalid(error)}") from None
    for before, entry in itertools.pairwise(checked):
        is_same_stage = entry.stage == before.stage
        if (entry.stage, entry.epoch) <= (before.stage, before.epoch) or (
            is_same_stage and entry.step <= before.step
        ):
            raise ValueError("its history goes backwards")
    found: list[JsonObject] = entries
    return found


def cost_of(history: Sequence[JsonObject]) -> tuple[int, int, float]:
    """Optimizer steps, images that went through training, and seconds, over all stages."""
    ends = {entry["stage"]: entry["step"] for entry in history}
    return (
        sum(ends.values()),
        sum(entry["images"] for entry in history),
        round(sum(entry["seconds"] for entry in history), 3),
    )
