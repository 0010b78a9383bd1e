"""Sana."""

from __future__ import annotations

from typing import ClassVar, Literal

from synfill.generation.models.families.masked import MaskedFamily


class Sana(MaskedFamily):
    """Sana: a linear flow-matching transformer, a deep VAE and Gemma."""

    name: Literal["sana"] = "sana"
    pipelines: ClassVar = ("SanaPipeline",)
    steps: ClassVar = 20
    guidance_scale: ClassVar = 4.5
    multiple: ClassVar = 32
    flow: ClassVar = True
    half: ClassVar = "float16"
    weights_gib: ClassVar = 9

    def part_types(self, dtype: str) -> str | dict[str, str]:
        """Its transformer was trained in float16; its text encoder overflows there."""
        return {"transformer": dtype, "default": "bfloat16"} if dtype == "float16" else dtype
