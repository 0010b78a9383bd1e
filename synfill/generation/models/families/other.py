"""Pipelines of no known family."""

from __future__ import annotations

from typing import ClassVar, Literal

from synfill.generation.models.families.family import Family


class Other(Family):
    """Any other pipeline that diffusers finds for text to image: its call gets texts."""

    name: Literal["other"] = "other"
    multiple: ClassVar = 32
    encodes: ClassVar = False
