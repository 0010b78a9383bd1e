"""How each pipeline family takes prompts: one adapter a family, in a table.

An adapter turns a prompt into the tensors that the pipeline's call takes in its place, so that a
prompt is encoded once however many images show it. A family without an adapter gets the prompts
themselves. torch is imported only when something is encoded.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from synfill.generation.models.resolve import ResolvedModel

Embeddings = dict[str, Any]
"""Argument of the pipeline's call -> tensor of shape (1, ...)."""

Encoder = Callable[[Any, ResolvedModel, str, str], Embeddings]
"""(pipeline, model, prompt, negative prompt) -> embeddings of this one prompt."""

FLUX_TRUE_GUIDANCE: Final = 2.0
"""FLUX's true_cfg_scale where a negative prompt is given. Its distilled guidance stays on, so a
small one does; more over-saturates."""


@dataclass(frozen=True)
class Adapter:
    """How a family takes prompts.

    Attributes:
        encode: Encodes one prompt.
        arguments: What its call gets beside the common arguments.
        splits_negatives: Whether requests with and without a negative prompt can't share a call,
            because guidance is on or off for all of it.
    """

    encode: Encoder
    arguments: Mapping[str, Any]
    splits_negatives: bool = False


def is_guided(pipe: Any, model: ResolvedModel) -> bool:
    """Whether the pipeline runs with classifier-free guidance, as it will decide itself."""
    unet = getattr(pipe, "unet", None)
    if unet is not None and unet.config.time_cond_proj_dim is not None:
        return False  # guidance is an input of the network
    return model.guidance_scale > 1


def _encode_sd(pipe: Any, model: ResolvedModel, prompt: str, negative: str) -> Embeddings:
    guided = is_guided(pipe, model)
    positive, unguided = pipe.encode_prompt(
        prompt, pipe._execution_device, 1, guided, negative or None
    )
    return _present(prompt_embeds=positive, negative_prompt_embeds=unguided if guided else None)


def _encode_sdxl(pipe: Any, model: ResolvedModel, prompt: str, negative: str) -> Embeddings:
    guided = is_guided(pipe, model)
    # None and "" differ: SDXL was trained with zeros in place of an empty prompt.
    positive, unguided, pooled, unguided_pooled = pipe.encode_prompt(
        prompt, do_classifier_free_guidance=guided, negative_prompt=negative or None
    )
    return _present(
        prompt_embeds=positive,
        negative_prompt_embeds=unguided if guided else None,
        pooled_prompt_embeds=pooled,
        negative_pooled_prompt_embeds=unguided_pooled if guided else None,
    )


def _encode_sd3(pipe: Any, model: ResolvedModel, prompt: str, negative: str) -> Embeddings:
    guided = is_guided(pipe, model)
    positive, unguided, pooled, unguided_pooled = pipe.encode_prompt(
        prompt,
        None,
        None,
        do_classifier_free_guidance=guided,
        negative_prompt=negative or None,
        max_sequence_length=model.max_sequence_length,
    )
    return _present(
        prompt_embeds=positive,
        negative_prompt_embeds=unguided if guided else None,
        pooled_prompt_embeds=pooled,
        negative_pooled_prompt_embeds=unguided_pooled if guided else None,
    )


def _encode_flux(pipe: Any, model: ResolvedModel, prompt: str, negative: str) -> Embeddings:
    length = model.max_sequence_length
    positive, pooled, _ = pipe.encode_prompt(prompt, max_sequence_length=length)
    found: Embeddings = {"prompt_embeds": positive, "pooled_prompt_embeds": pooled}
    if negative and model.negative_prompts:
        unguided, unguided_pooled, _ = pipe.encode_prompt(negative, max_sequence_length=length)
        found["negative_prompt_embeds"] = unguided
        found["negative_pooled_prompt_embeds"] = unguided_pooled
    return found


def _encode_masked(pipe: Any, model: ResolvedModel, prompt: str, negative: str) -> Embeddings:
    """PixArt and Sana: a text encoder whose padding is masked."""
    guided = is_guided(pipe, model)
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
    return _present(
        prompt_embeds=positive,
        prompt_attention_mask=mask,
        negative_prompt_embeds=unguided if guided else None,
        negative_prompt_attention_mask=unguided_mask if guided else None,
    )


def _present(**tensors: Any) -> Embeddings:
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


# Binning would make another size than was asked for; here the prompt is None, which PixArt's
# call would otherwise fill with "" for its negative.
_EXACT_SIZE: Final = {"use_resolution_binning": False}

ADAPTERS: Final[Mapping[str, Adapter]] = {
    "sd": Adapter(_encode_sd, {}),
    "sdxl": Adapter(_encode_sdxl, {}),
    "sd3": Adapter(_encode_sd3, {}),
    "flux": Adapter(_encode_flux, {}, splits_negatives=True),
    "pixart": Adapter(_encode_masked, {**_EXACT_SIZE, "negative_prompt": None}),
    "sana": Adapter(_encode_masked, {**_EXACT_SIZE, "negative_prompt": None}),
}
