"""PixArt-alpha and -Sigma."""

from __future__ import annotations

from typing import ClassVar, Literal

from synfill.generation.models.families.masked import MaskedFamily


class PixArt(MaskedFamily):
    """PixArt: a diffusion transformer and T5."""

    name: Literal["pixart"] = "pixart"
    pipelines: ClassVar = ("PixArtAlphaPipeline", "PixArtSigmaPipeline")
    steps: ClassVar = 20
    guidance_scale: ClassVar = 4.5
    multiple: ClassVar = 8
    patch: ClassVar = 2
    weights_gib: ClassVar = 12
