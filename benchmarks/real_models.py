"""The generators at their real size with random weights: speed and memory don't depend on them.

Public configurations: the denoisers and decoders are those of flops.py, which prints their
parameter counts. They are built on the device itself, in the number type that they run in, since
writing and reading gigabytes of noise would tell nothing; everything from there on (scheduler,
layout, compilation, prompts) is what synfill does with a model that it has loaded.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    PNDMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
)
from flops import flux, sd, sdxl
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    T5Config,
    T5EncoderModel,
)

from synfill.generation.models.resolve import GeneratorSettings, ResolvedModel, resolve_model

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

# Tokenizers that spell every text letter by letter: there is no public one without a download.
from tiny_models import _clip_tokenizer as clip_tokenizer
from tiny_models import _t5_tokenizer as t5_tokenizer

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def build(name: str, device: str, dtype: torch.dtype, seed: int = 0) -> Any:
    """A pipeline with all of its parts on the device.

    Args:
        name: A key of MODELS.
        device: "cuda", "cuda:1", "cpu".
        dtype: The number type of all parts.
        seed: Of the weights.
    """
    torch.manual_seed(seed)
    # Outside of what follows: a scheduler counts in float32 in main memory.
    scheduler = SCHEDULERS[name]()
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device), torch.no_grad():
            pipe = MODELS[name](scheduler)
            spread_output(pipe.vae)
    finally:
        torch.set_default_dtype(before)
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.to(dtype).eval().requires_grad_(False)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def resolve(pipe: Any, folder: Path, settings: dict[str, Any]) -> ResolvedModel:
    """The pipeline's settings as synfill finds them, by its configuration files.

    Args:
        pipe: The pipeline.
        folder: Where to write them.
        settings: Of `GeneratorSettings`, but `model`.
    """
    pipe.save_config(folder)
    for name, part in pipe.components.items():
        if part is not None and hasattr(part, "save_config"):
            part.save_config(folder / name)
        elif isinstance(part, torch.nn.Module):
            part.config.save_pretrained(folder / name)
        elif part is not None:
            part.save_pretrained(folder / name)
    return resolve_model(GeneratorSettings(model=str(folder), **settings))


def spread_output(vae: Any) -> None:
    """Let a random decoder use the whole range: a flat image would be rejected, and made again."""
    weight = vae.decoder.conv_out.weight
    latents = torch.randn(1, vae.config.latent_channels, 16, 16, device=weight.device)
    latents = latents.to(weight.dtype) / vae.config.scaling_factor
    made = vae.decode(latents, return_dict=False)[0].float()
    scale = (0.45 / made.std(dim=(0, 2, 3))).to(weight.dtype)
    vae.decoder.conv_out.bias.sub_(made.mean(dim=(0, 2, 3)).to(weight.dtype)).mul_(scale)
    weight.mul_(scale[:, None, None, None])


def sd15(scheduler: Any) -> Any:
    return StableDiffusionPipeline(
        vae=_vae(4, 512, scaling_factor=0.18215),
        text_encoder=CLIPTextModel(_clip(768, 3072, 12, 12, "quick_gelu")),
        tokenizer=clip_tokenizer(),
        unet=sd(),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def sdxl_base(scheduler: Any) -> Any:
    second = _clip(1280, 5120, 20, 32, "gelu")
    return StableDiffusionXLPipeline(
        vae=_vae(4, 1024, scaling_factor=0.13025, force_upcast=True),
        text_encoder=CLIPTextModel(_clip(768, 3072, 12, 12, "quick_gelu")),
        text_encoder_2=CLIPTextModelWithProjection(second),
        tokenizer=clip_tokenizer(),
        tokenizer_2=clip_tokenizer(),
        unet=sdxl(),
        scheduler=scheduler,
        add_watermarker=False,
    )


def flux_dev(scheduler: Any) -> Any:
    t5 = T5Config(
        vocab_size=32128,
        d_model=4096,
        d_ff=10240,
        d_kv=64,
        num_layers=24,
        num_heads=64,
        feed_forward_proj="gated-gelu",
    )
    return FluxPipeline(
        scheduler=scheduler,
        vae=_vae(16, 1024, scaling_factor=0.3611, shift_factor=0.1159, quant=False),
        text_encoder=CLIPTextModel(_clip(768, 3072, 12, 12, "quick_gelu")),
        tokenizer=clip_tokenizer(),
        text_encoder_2=T5EncoderModel(t5),
        tokenizer_2=t5_tokenizer(),
        transformer=flux(),
    )


MODELS: dict[str, Callable[[Any], Any]] = {
    "sd15": sd15,
    "sdxl": sdxl_base,
    "flux-dev": flux_dev,
}
SCHEDULERS: dict[str, Callable[[], Any]] = {
    "sd15": lambda: PNDMScheduler(**BETAS, skip_prk_steps=True, steps_offset=1),
    "sdxl": lambda: EulerDiscreteScheduler(**BETAS, steps_offset=1),
    "flux-dev": lambda: FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
}


def _vae(channels: int, size: int, quant: bool = True, **settings: Any) -> Any:
    return AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=channels,
        sample_size=size,
        use_quant_conv=quant,
        use_post_quant_conv=quant,
        **settings,
    )


def _clip(width: int, inner: int, heads: int, layers: int, activation: str) -> Any:
    return CLIPTextConfig(
        vocab_size=49408,
        hidden_size=width,
        intermediate_size=inner,
        num_attention_heads=heads,
        num_hidden_layers=layers,
        projection_dim=width,
        hidden_act=activation,
        # Those of the tokenizer above.
        bos_token_id=512,
        eos_token_id=513,
        pad_token_id=513,
    )
