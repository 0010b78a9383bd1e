"""Guidance in a part of the steps only: fewer operations, and images that differ more.

Classifier-free guidance hurts variety at high noise and does nothing at low noise (Kynkäänniemi
et al., "Applying Guidance in a Limited Interval Improves Sample and Distribution Quality in
Diffusion Models", NeurIPS 2024, arXiv 2404.07724). There the interval is one of noise levels, here
one of steps. Done as diffusers' documentation describes for dynamic guidance: a callback after
each step changes the pipeline's scale and its embeddings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from synfill.errors import UsageError
from synfill.generation.models.families.family import Family

Interval = tuple[float, float]
"""(start, stop) as shares of the steps, 0 <= start < stop <= 1."""


def check_interval(
    interval: Interval, scale: float, steps: int, family: Family, model: str
) -> None:
    """Refuse an interval that is none, or that a model can't be sampled with.

    Args:
        interval: What the user wrote.
        scale: The guidance scale.
        steps: Denoising steps.
        family: The model's family.
        model: The model's name, for the message.

    Raises:
        UsageError: No such interval, one without a step, a family that can't do it, or no guidance
            at all.
    """
    check_shares(interval)
    start, stop = interval
    if not family.changes_guidance:
        raise UsageError(
            f"{model} can't change its guidance between steps.",
            "Leave --guidance-interval out; Stable Diffusion and SDXL can do it.",
        )
    if scale <= 1:
        raise UsageError(
            f"--guidance-interval needs guidance, and with a scale of {scale:g} there is none.",
            "Leave it out, or give a --guidance-scale above 1.",
        )
    if not guided_steps(interval, steps):
        raise UsageError(
            f"No step of {steps} lies in --guidance-interval {start:g},{stop:g}: nothing would be "
            "guided.",
            "Give a wider one, or more --steps.",
        )


def check_shares(interval: Interval) -> None:
    """Refuse two numbers that are no interval of the steps.

    Raises:
        UsageError: Not 0 <= start < stop <= 1.
    """
    start, stop = interval
    if not 0 <= start < stop <= 1:
        raise UsageError(
            "--guidance-interval takes two shares of the steps, 0 <= START < STOP <= 1, not "
            f"{start:g},{stop:g}.",
            "For example --guidance-interval 0.2,0.8",
        )


def guided_steps(interval: Interval, steps: int) -> range:
    """The steps, counted from 0, that are made with guidance."""
    return range(round(interval[0] * steps), round(interval[1] * steps))


def interval_arguments(
    interval: Interval, scale: float, steps: int, embeddings: Mapping[str, Any]
) -> dict[str, Any]:
    """What the pipeline's call gets in place of its guidance scale and embeddings.

    Args:
        interval: When there is guidance.
        scale: The guidance scale then, above 1.
        steps: Denoising steps.
        embeddings: As `PromptCache.batch` gives them, with the negative ones; of a family that
            changes its guidance.
    """
    import torch

    prompts, pooled = embeddings["prompt_embeds"], embeddings.get("pooled_prompt_embeds")
    guided = {"prompt_embeds": torch.cat([embeddings["negative_prompt_embeds"], prompts])}
    plain = {"prompt_embeds": prompts}
    if pooled is not None:
        negative_pooled = embeddings["negative_pooled_prompt_embeds"]
        guided["add_text_embeds"] = torch.cat([negative_pooled, pooled])
        plain["add_text_embeds"] = pooled

    def after_step(pipe: Any, step: int, _: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        on = step + 1 in guided_steps(interval, pipe.num_timesteps)
        if on == pipe.do_classifier_free_guidance:
            return {}
        pipe._guidance_scale = scale if on else 1.0
        changed = dict(guided if on else plain)
        if "add_time_ids" in tensors:
            ids = tensors["add_time_ids"]  # the same row for every image, with or without guidance
            changed["add_time_ids"] = ids[:1].repeat(len(changed["prompt_embeds"]), 1)
        return changed

    arguments: dict[str, Any] = {
        "callback_on_step_end": after_step,
        "callback_on_step_end_tensor_inputs": [
            "latents",
            *guided,
            *(["add_time_ids"] if pooled is not None else []),
        ],
    }
    if 0 not in guided_steps(interval, steps):
        # The first step comes before any callback: how it is made is told in the call.
        arguments["guidance_scale"] = 1.0
        kept = {name: value for name, value in embeddings.items() if "negative" not in name}
        return arguments | kept
    return arguments | {"guidance_scale": scale} | dict(embeddings)
