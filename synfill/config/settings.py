"""How settings are written: once, as the fields of a model.

A field's name, kind, range, default and description stand there; the command line, the Python API,
settings files and their help are made of them.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo


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
