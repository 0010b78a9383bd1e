"""Records on disk: written whole or not at all, and checked when they are read, as anyone may have
written them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from synfill.errors import RunError
from synfill.files import atomic_write
from synfill.reading import parse_json, read_regular

LARGEST_RUN = 1 << 30
"""Bytes of a run.json: it has a line for every image file of an ImageFolder."""


class Record(BaseModel):
    """What one file says."""

    # Strict: "3" and true are no counts. What a later version adds is left alone.
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


Kind = TypeVar("Kind", bound=Record)


def read_record(path: Path, kind: type[Kind], ignore_damage: bool = False) -> Kind | None:
    """Read a record and check it.

    Args:
        path: The file.
        kind: What it should say.
        ignore_damage: Whether a damaged record is none.

    Returns:
        None if there is none.

    Raises:
        RunError: It is damaged, and that isn't to be ignored.
    """
    try:
        return kind.model_validate(parse_json(read_regular(path, LARGEST_RUN)))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValidationError as error:
        reason = describe_invalid(error)
    except (OSError, ValueError) as error:
        reason = str(error)
    if ignore_damage:
        return None
    raise RunError(
        f"{path} is damaged ({reason}).",
        "Restore it, choose another --out, or add --overwrite to begin anew.",
    )


def describe_invalid(error: ValidationError) -> str:
    """The first thing that is wrong, in a line."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else "it holds no object"


def write_record(path: Path, content: Mapping[str, object]) -> None:
    """Write a record, whole or not at all."""
    with atomic_write(path) as file:
        file.write((json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
