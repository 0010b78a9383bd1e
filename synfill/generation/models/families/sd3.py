"""Stable Diffusion 3."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from synfill.generation.models.families.family import (
    Embeddings,
    Family,
    Sampling,
    is_guided,
    present,
)


class StableDiffusion3(Family):
    """Stable Diffusion 3: a flow-matching transformer, two CLIP text encoders and T5."""

    name: Literal["sd3"] = "sd3"
    pipelines: ClassVar = ("StableDiffusion3Pipeline", "StableDiffusion3Img2ImgPipeline")
    steps: ClassVar = 28
    guidance_scale: ClassVar = 4.5
    patch: ClassVar = 2
    max_sequence_length: ClassVar = 256
    flow: ClassVar = True
    weights_gib: ClassVar = 28

    def encode(self, pipe: Any, model: Sampling, prompt: str, negative: str) -> Embeddings:
        """Encode one prompt."""
        guided = is_guided(pipe, model.guidance_scale)
        positive, unguided, pooled, unguided_pooled = pipe.encode_prompt(
            prompt,
            None,
            None,
            do_classifier_free_guidance=guided,
            negative_prompt=negative or None,
            max_sequence_length=model.max_sequence_length,
        )
        return present(
            prompt_embeds=positive,
            negative_prompt_embeds=unguided if guided else None,
            pooled_prompt_embeds=pooled,
            negative_pooled_prompt_embeds=unguided_pooled if guided else None,
        )
