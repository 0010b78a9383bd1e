"""FLUX.1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal

from synfill.generation.models.families.family import Embeddings, Family, Sampling

TRUE_GUIDANCE: Final = 2.0
"""`true_cfg_scale` where a negative prompt is given. Distilled guidance stays on, so a small one
does; more over-saturates."""


class Flux(Family):
    """FLUX.1: a flow-matching transformer with guidance in its weights, CLIP and T5."""

    name: Literal["flux"] = "flux"
    pipelines: ClassVar = ("FluxPipeline", "FluxImg2ImgPipeline")
    steps: ClassVar = 28
    guidance_scale: ClassVar = 3.5
    patch: ClassVar = 2
    max_sequence_length: ClassVar = 512
    flow: ClassVar = True
    weights_gib: ClassVar = 36
    guidance_in_weights: ClassVar = True
    splits_negatives: ClassVar = True

    def encode(self, pipe: Any, model: Sampling, prompt: str, negative: str) -> Embeddings:
        """Encode one prompt."""
        length = model.max_sequence_length
        positive, pooled, _ = pipe.encode_prompt(prompt, max_sequence_length=length)
        found: Embeddings = {"prompt_embeds": positive, "pooled_prompt_embeds": pooled}
        if negative and model.negative_prompts:
            unguided, unguided_pooled, _ = pipe.encode_prompt(negative, max_sequence_length=length)
            found["negative_prompt_embeds"] = unguided
            found["negative_pooled_prompt_embeds"] = unguided_pooled
        return found

    def call_arguments(self, embeddings: Embeddings) -> Mapping[str, Any]:
        """Guidance by a second call, where there is a negative prompt."""
        return {"true_cfg_scale": TRUE_GUIDANCE} if "negative_prompt_embeds" in embeddings else {}
