"""Stable Diffusion 1 and 2."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from synfill.generation.models.families.family import (
    Embeddings,
    Family,
    Sampling,
    is_guided,
    present,
)


class StableDiffusion(Family):
    """Stable Diffusion 1 and 2: a UNet and one CLIP text encoder."""

    name: Literal["sd"] = "sd"
    pipelines: ClassVar = (
        "StableDiffusionPipeline",
        "StableDiffusionImg2ImgPipeline",
        "StableDiffusionInpaintPipeline",
    )
    guidance_scale: ClassVar = 7.5
    native: ClassVar = 512
    multiple: ClassVar = 8
    bears_float16: ClassVar = True
    weights_gib: ClassVar = 4
    changes_guidance: ClassVar = True

    def encode(self, pipe: Any, model: Sampling, prompt: str, negative: str) -> Embeddings:
        """Encode one prompt."""
        guided = is_guided(pipe, model.guidance_scale)
        positive, unguided = pipe.encode_prompt(
            prompt, pipe._execution_device, 1, guided, negative or None
        )
        return present(prompt_embeds=positive, negative_prompt_embeds=unguided if guided else None)
