"""How PixArt and Sana take prompts: a text encoder whose padding is masked."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

from synfill.generation.models.families.family import (
    Embeddings,
    Family,
    Sampling,
    is_guided,
    present,
)


class MaskedFamily(Family):
    """A family whose call takes attention masks with the embeddings."""

    # Binning would make another size than was asked for; here the prompt is None, which PixArt's
    # call would otherwise fill with "" for its negative.
    call: ClassVar = {"use_resolution_binning": False, "negative_prompt": None}
    max_sequence_length: ClassVar = 300

    def encode(self, pipe: Any, model: Sampling, prompt: str, negative: str) -> Embeddings:
        """Encode one prompt."""
        guided = is_guided(pipe, model.guidance_scale)
        extra: dict[str, Any] = {}
        # Sana's call puts an instruction before each prompt; encode_prompt alone doesn't.
        instruction = inspect.signature(pipe.__call__).parameters.get("complex_human_instruction")
        if instruction is not None:
            extra["complex_human_instruction"] = instruction.default
        positive, mask, unguided, unguided_mask = pipe.encode_prompt(
            prompt,
            do_classifier_free_guidance=guided,
            negative_prompt=negative,
            max_sequence_length=model.max_sequence_length,
            **extra,
        )
        return present(
            prompt_embeds=positive,
            prompt_attention_mask=mask,
            negative_prompt_embeds=unguided if guided else None,
            negative_prompt_attention_mask=unguided_mask if guided else None,
        )
