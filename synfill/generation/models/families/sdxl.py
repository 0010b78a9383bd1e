"""Stable Diffusion XL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from synfill.generation.models.families.family import (
    Embeddings,
    Family,
    Sampling,
    is_guided,
    present,
)


class StableDiffusionXL(Family):
    """Stable Diffusion XL: a UNet and two CLIP text encoders."""

    name: Literal["sdxl"] = "sdxl"
    pipelines: ClassVar = (
        "StableDiffusionXLPipeline",
        "StableDiffusionXLImg2ImgPipeline",
        "StableDiffusionXLInpaintPipeline",
    )
    multiple: ClassVar = 8
    bears_float16: ClassVar = True
    weights_gib: ClassVar = 8
    changes_guidance: ClassVar = True

    def encode(self, pipe: Any, model: Sampling, prompt: str, negative: str) -> Embeddings:
        """Encode one prompt."""
        guided = is_guided(pipe, model.guidance_scale)
        # None and "" differ: SDXL was trained with zeros in place of an empty prompt.
        positive, unguided, pooled, unguided_pooled = pipe.encode_prompt(
            prompt, do_classifier_free_guidance=guided, negative_prompt=negative or None
        )
        return present(
            prompt_embeds=positive,
            negative_prompt_embeds=unguided if guided else None,
            pooled_prompt_embeds=pooled,
            negative_pooled_prompt_embeds=unguided_pooled if guided else None,
        )

    def is_distilled(self, name: str, scheduler: Mapping[str, Any]) -> bool:
        """By its name; a local SDXL-Turbo looks like SDXL but for its scheduler."""
        return super().is_distilled(name, scheduler) or (
            scheduler.get("_class_name") == "EulerAncestralDiscreteScheduler"
            and scheduler.get("timestep_spacing") == "trailing"
        )
