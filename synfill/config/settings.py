"""How settings are written: once, as the fields of a model.

A field's name, kind, range, default and description stand there; the command line, the Python API,
settings files and their help are made of them. Also how large numbers may be, and how a number is
read that stands in a text.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

MAX_SEED = 2**48 - 1
LARGEST = 2**31 - 1
"""More images than any dataset here has."""

# Fraction itself takes "1e999999999", and computes for hours.
_NUMBER = re.compile(
    r"[-+]?(?:\d{1,15}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][-+]?\d{1,2})?|\d{1,15}/\d{1,15}", re.ASCII
)


def option(
    default: Any,
    description: str,
    *,
    panel: str | None = None,
    metavar: str | None = None,
    flag: str | None = None,
    is_text: bool = False,
    is_argument: bool = False,
    in_files_only: bool = False,
    shows_default: bool = False,
    **bounds: Any,
) -> Any:
    """A setting: a pydantic field that knows how it looks on the command line.

    Args:
        default: Its default.
        description: What it does, and what happens without it.
        panel: The part of the help that it stands in.
        metavar: What stands for its value in the help; None for its type.
        flag: Its names on the command line, where they aren't its own: "--private/--public".
        is_text: Whether the command line takes any text, of which the settings make a value.
        is_argument: Whether the command takes it by its place, without a name.
        in_files_only: Whether only files and the Python API take it, not the command line.
        shows_default: Whether the command's help shows the default beside the description.
        bounds: Of pydantic's Field: ge, le, ...
    """
    shown: dict[str, Any] = {
        "panel": panel,
        "metavar": metavar,
        "flag": flag,
        "is_text": is_text,
        "is_argument": is_argument,
        "in_files_only": in_files_only,
        "shows_default": shows_default,
    }
    return Field(default, description=description, json_schema_extra=shown, **bounds)


def appearance(field: FieldInfo) -> dict[str, Any]:
    """How a field looks on the command line: the arguments of `option`, by name."""
    assert isinstance(field.json_schema_extra, dict)
    return field.json_schema_extra


class Settings(BaseModel):
    """Settings of a command; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
