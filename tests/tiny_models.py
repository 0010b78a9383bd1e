"""Small, real diffusers pipelines with random weights, for tests and for trying the tool.

    python tests/tiny_models.py OUT [--family sd|sdxl|sd3|flux] [--seed 0] [--safety-checker]

Each is a few hundred kilobytes, makes 64 x 64 images (noise that differs from prompt to prompt and
from seed to seed), and loads like a downloaded model. Tokenizers are built on the spot.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

LATENT = 8
HIDDEN = 32
CLIP_LENGTH = 77


def make_sd(path: Path, seed: int = 0, *, safety_checker: bool = False, flags: float = 0.5) -> Path:
    """Stable Diffusion.

    Args:
        path: Where to write it.
        seed: Of the weights.
        safety_checker: Give it a safety checker that flags some images.
        flags: The share of images that it flags.
    """
    from diffusers import PNDMScheduler, StableDiffusionPipeline

    _seed(seed)
    vae = _vae(4)
    pipe = StableDiffusionPipeline(
        vae=vae,
        text_encoder=_clip(),
        tokenizer=_clip_tokenizer(),
        unet=_unet(),
        scheduler=PNDMScheduler(**_BETAS, skip_prk_steps=True, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    if safety_checker:
        _add_safety_checker(pipe, flags)
    return _save(pipe, path)


def make_sdxl(path: Path, seed: int = 0, *, turbo: bool = False) -> Path:
    """Stable Diffusion XL; with `turbo` the scheduler of SDXL-Turbo."""
    from diffusers import (
        EulerAncestralDiscreteScheduler,
        EulerDiscreteScheduler,
        StableDiffusionXLPipeline,
    )

    _seed(seed)
    unet = _unet(
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 2),
        projection_class_embeddings_input_dim=6 * 8 + HIDDEN,
        cross_attention_dim=2 * HIDDEN,
        use_linear_projection=True,
    )
    scheduler = EulerDiscreteScheduler(**_BETAS, steps_offset=1)
    if turbo:
        scheduler = EulerAncestralDiscreteScheduler(**_BETAS, timestep_spacing="trailing")
    pipe = StableDiffusionXLPipeline(
        vae=_vae(4),
        text_encoder=_clip(),
        text_encoder_2=_clip(projection=True),
        tokenizer=_clip_tokenizer(),
        tokenizer_2=_clip_tokenizer(),
        unet=unet,
        scheduler=scheduler,
    )
    return _save(pipe, path)


def make_sd3(path: Path, seed: int = 0) -> Path:
    """Stable Diffusion 3."""
    from diffusers import (
        FlowMatchEulerDiscreteScheduler,
        SD3Transformer2DModel,
        StableDiffusion3Pipeline,
    )

    _seed(seed)
    transformer = SD3Transformer2DModel(
        sample_size=LATENT,
        patch_size=2,
        in_channels=16,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=HIDDEN * 2,
        caption_projection_dim=32,
        pooled_projection_dim=HIDDEN * 2,
        out_channels=16,
        pos_embed_max_size=16,
    )
    pipe = StableDiffusion3Pipeline(
        transformer=_stronger(transformer),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=_vae(16, shift=0.06),
        text_encoder=_clip(projection=True),
        tokenizer=_clip_tokenizer(),
        text_encoder_2=_clip(projection=True),
        tokenizer_2=_clip_tokenizer(),
        text_encoder_3=_t5(HIDDEN * 2),
        tokenizer_3=_t5_tokenizer(),
    )
    return _save(pipe, path)


def make_flux(path: Path, seed: int = 0) -> Path:
    """FLUX.1 [dev]: guidance is an input of the network."""
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel

    _seed(seed)
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=HIDDEN,
        pooled_projection_dim=HIDDEN,
        guidance_embeds=True,
        axes_dims_rope=(4, 6, 6),
    )
    pipe = FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=_vae(4, shift=0.1),
        text_encoder=_clip(),
        tokenizer=_clip_tokenizer(),
        text_encoder_2=_t5(HIDDEN),
        tokenizer_2=_t5_tokenizer(),
        transformer=_stronger(transformer),
    )
    return _save(pipe, path)


FAMILIES: dict[str, Callable[..., Path]] = {
    "sd": make_sd,
    "sdxl": make_sdxl,
    "sd3": make_sd3,
    "flux": make_flux,
}


def make_lora(path: Path, model: Path, seed: int = 1) -> Path:
    """A LoRA for the UNet of a Stable Diffusion model, as one .safetensors file in a folder.

    Args:
        path: The folder to write.
        model: The model that it is for, from `make_sd`.
        seed: Of the weights.
    """
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel
    from diffusers.utils import convert_state_dict_to_diffusers
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    _seed(seed)
    unet = UNet2DConditionModel.from_pretrained(model / "unet")
    # Weights that aren't zero: this one has to change the image.
    unet.add_adapter(LoraConfig(r=4, target_modules=["to_q", "to_v"], init_lora_weights=False))
    layers = convert_state_dict_to_diffusers(get_peft_model_state_dict(unet))
    StableDiffusionPipeline.save_lora_weights(path, unet_lora_layers=layers)
    return path


_BETAS: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
}


def _seed(seed: int) -> None:
    import torch

    torch.manual_seed(seed)


def _save(pipe: Any, path: Path) -> Path:
    import transformers

    transformers.utils.logging.disable_progress_bar()
    pipe.save_pretrained(path, safe_serialization=True)
    return path


def _unet(**changes: Any) -> Any:
    from diffusers import UNet2DConditionModel

    arguments: dict[str, Any] = {
        "sample_size": LATENT,
        "block_out_channels": (16, 32),
        "layers_per_block": 1,
        "norm_num_groups": 8,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": HIDDEN,
        "attention_head_dim": 8,
    }
    return _stronger(UNet2DConditionModel(**arguments | changes))


def _stronger(denoiser: Any) -> Any:
    """Random weights hardly listen to the prompt: let what comes from it count for more."""
    import torch

    factors = {"attn2.to_v": 20, "attn2.to_k": 3, "attn2.to_q": 3, "add_embedding": 3}
    factors |= {"context_embedder": 20, "text_embedder": 3}
    with torch.no_grad():
        for name, weight in denoiser.named_parameters():
            if not name.endswith("weight"):
                continue
            for part, factor in factors.items():
                if part in name:
                    weight.mul_(factor)
            # Transformers start with the last layer and the modulation at zero.
            if "norm_out" in name or name == "proj_out.weight":
                weight.normal_(std=0.2)
    return denoiser


def _vae(channels: int, shift: float | None = None) -> Any:
    """A VAE whose decoder spreads its output over the whole range: no image is blank."""
    import torch
    from diffusers import AutoencoderKL

    blocks = 4
    vae = AutoencoderKL(
        block_out_channels=(8, 16, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        latent_channels=channels,
        norm_num_groups=4,
        layers_per_block=1,
        sample_size=LATENT * 8,
        shift_factor=shift,
        use_quant_conv=shift is None,
        use_post_quant_conv=shift is None,
    ).eval()
    with torch.no_grad():
        made = vae.decode(torch.randn(8, channels, LATENT, LATENT) * 4).sample
        last = vae.decoder.conv_out
        scale = 0.45 / made.std(dim=(0, 2, 3))
        last.bias.sub_(made.mean(dim=(0, 2, 3)))
        last.bias.mul_(scale)
        last.weight.mul_(scale[:, None, None, None])
    return vae


def _clip(*, projection: bool = False) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    vocabulary = len(_clip_vocabulary())
    config = CLIPTextConfig(
        vocab_size=vocabulary,
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=vocabulary - 1,
        hidden_size=HIDDEN,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=2,
        max_position_embeddings=CLIP_LENGTH,
        projection_dim=HIDDEN,
        hidden_act="gelu",
        initializer_factor=3.0,
    )
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config).eval()


def _t5(width: int) -> Any:
    from transformers import T5Config, T5EncoderModel

    config = T5Config(
        vocab_size=len(_t5_vocabulary()),
        d_model=width,
        d_ff=37,
        d_kv=8,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
    )
    return T5EncoderModel(config).eval()


def _clip_vocabulary() -> dict[str, int]:
    """Every byte, inside a word and at its end: spells any text."""
    from tokenizers import pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*letters, *(letter + "</w>" for letter in letters)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    return {token: i for i, token in enumerate(tokens)}


def _clip_tokenizer() -> Any:
    from transformers import CLIPTokenizer

    # Without model_max_length, padding to it overflows.
    return CLIPTokenizer(vocab=_clip_vocabulary(), merges=[], model_max_length=CLIP_LENGTH)


def _t5_vocabulary() -> list[tuple[str, float]]:
    letters = [chr(code) for code in range(33, 127)]
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    return special + [(letter, -3.0) for letter in letters]


def _t5_tokenizer() -> Any:
    from transformers import T5TokenizerFast

    return T5TokenizerFast(vocab=_t5_vocabulary(), extra_ids=0, model_max_length=512)


def _add_safety_checker(pipe: Any, flags: float) -> None:
    """A safety checker that flags this share of the pipeline's own images."""
    import torch
    from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPImageProcessor

    vision = {
        "hidden_size": HIDDEN,
        "intermediate_size": 37,
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "image_size": 30,
        "patch_size": 15,
        "projection_dim": HIDDEN,
    }
    config = CLIPConfig(vision_config=vision, text_config={"hidden_size": HIDDEN})
    config.projection_dim = HIDDEN
    checker = StableDiffusionSafetyChecker(config).eval()
    extractor = CLIPImageProcessor(size={"shortest_edge": 30}, crop_size=30)
    with torch.no_grad():
        # One concept, and a threshold that the wanted share of images is above.
        checker.concept_embeds.normal_()
        checker.special_care_embeds_weights.fill_(2.0)
        checker.concept_embeds_weights.fill_(2.0)
        pipe.set_progress_bar_config(disable=True)
        generators = [torch.Generator().manual_seed(seed) for seed in range(16)]
        images = pipe(["a photo of a cat"] * 16, num_inference_steps=2, generator=generators).images
        inputs = extractor(images, return_tensors="pt").pixel_values
        embeds = checker.visual_projection(checker.vision_model(inputs)[1])
        similar = torch.nn.functional.cosine_similarity(embeds, checker.concept_embeds[:1])
        checker.concept_embeds_weights[0] = torch.quantile(similar, 1 - flags)
    pipe.register_modules(safety_checker=checker, feature_extractor=extractor)
    pipe.register_to_config(requires_safety_checker=True)


def main() -> None:
    """Write a model to a folder."""
    parser = argparse.ArgumentParser(description="Write a small random text-to-image model.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--family", choices=FAMILIES, default="sd")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--safety-checker", action="store_true", help="only with --family sd")
    arguments = parser.parse_args()
    extra = {"safety_checker": True} if arguments.safety_checker else {}
    FAMILIES[arguments.family](arguments.out, arguments.seed, **extra)
    print(arguments.out)


if __name__ == "__main__":
    main()
