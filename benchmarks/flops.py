"""Counts the operations of the known generators, for the estimates of `synfill balance --dry-run`.

    python benchmarks/flops.py

Builds each denoiser and VAE decoder with its public configuration on the meta device (no weights,
no memory) and counts a call for one image of the preset's size with torch's FlopCounterMode, which
counts matrix products, convolutions and attention; a multiplication with its addition is two
operations. Prints the parameter counts, which tell whether the configuration is the right one, and
the numbers that stand in synfill/generation/pipeline/rates.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers import (
    AutoencoderDC,
    AutoencoderKL,
    FluxTransformer2DModel,
    PixArtTransformer2DModel,
    SanaTransformer2DModel,
    SD3Transformer2DModel,
    UNet2DConditionModel,
)
from torch.utils.flop_counter import FlopCounterMode

from synfill.generation.models.presets import Preset, find_preset

Call = dict[str, torch.Tensor]


def main() -> None:
    print(f"{'preset':<14}{'size':>12}{'denoiser':>10}{'TFLOP a call':>14}{'TFLOP decode':>14}")
    with torch.device("meta"):
        for name, (build, arguments, decoder, latent) in MODELS.items():
            preset = find_preset(name)
            assert preset is not None
            denoiser, vae = build(), decoder()
            side, factor = preset.size[0], 32 if preset.family == "sana" else 8
            calls = count(lambda d=denoiser, a=arguments, p=preset: d(**a(p)))
            shape = (1, latent, side // factor, side // factor)
            decode = count(lambda v=vae, s=shape: v.decode(torch.empty(s)))
            billions = sum(weight.numel() for weight in denoiser.parameters()) / 1e9
            size = f"{side}x{side}"
            print(f"{name:<14}{size:>12}{billions:>9.2f}B{calls:>14.3f}{decode:>14.3f}")


def count(call: Callable[[], object]) -> float:
    """Tera-operations of a call."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() / 1e12


def sd() -> Any:
    return UNet2DConditionModel(sample_size=64, cross_attention_dim=768)


def sd_call(preset: Preset) -> Call:
    side = preset.size[0] // 8
    return {
        "sample": torch.empty(1, 4, side, side),
        "timestep": torch.empty(1),
        "encoder_hidden_states": torch.empty(1, 77, 768),
    }


def sdxl() -> Any:
    return UNet2DConditionModel(
        sample_size=128,
        block_out_channels=(320, 640, 1280),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 10),
        attention_head_dim=(5, 10, 20),
        cross_attention_dim=2048,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
        use_linear_projection=True,
    )


def sdxl_call(preset: Preset) -> Any:
    side = preset.size[0] // 8
    return {
        "sample": torch.empty(1, 4, side, side),
        "timestep": torch.empty(1),
        "encoder_hidden_states": torch.empty(1, 77, 2048),
        "added_cond_kwargs": {
            "text_embeds": torch.empty(1, 1280),
            "time_ids": torch.empty(1, 6),
        },
    }


def sd3(layers: int, heads: int, largest: int, dual: tuple[int, ...]) -> Callable[[], Any]:
    return lambda: SD3Transformer2DModel(
        sample_size=128,
        patch_size=2,
        in_channels=16,
        num_layers=layers,
        attention_head_dim=64,
        num_attention_heads=heads,
        joint_attention_dim=4096,
        caption_projection_dim=64 * heads,
        pooled_projection_dim=2048,
        out_channels=16,
        pos_embed_max_size=largest,
        dual_attention_layers=dual,
        qk_norm="rms_norm",
    )


def sd3_call(preset: Preset) -> Call:
    side = preset.size[0] // 8
    return {
        "hidden_states": torch.empty(1, 16, side, side),
        "timestep": torch.empty(1),
        "encoder_hidden_states": torch.empty(1, 77 + (preset.max_sequence_length or 0), 4096),
        "pooled_projections": torch.empty(1, 2048),
    }


def flux() -> Any:
    return FluxTransformer2DModel(guidance_embeds=True)


def flux_call(preset: Preset) -> Call:
    tokens, length = (preset.size[0] // 16) ** 2, preset.max_sequence_length or 0
    return {
        "hidden_states": torch.empty(1, tokens, 64),
        "timestep": torch.empty(1),
        "guidance": torch.empty(1),
        "encoder_hidden_states": torch.empty(1, length, 4096),
        "pooled_projections": torch.empty(1, 768),
        "txt_ids": torch.empty(length, 3),
        "img_ids": torch.empty(tokens, 3),
    }


def pixart() -> Any:
    return PixArtTransformer2DModel(
        sample_size=128, out_channels=8, caption_channels=4096, use_additional_conditions=False
    )


def pixart_call(preset: Preset) -> Any:
    side = preset.size[0] // 8
    return {
        "hidden_states": torch.empty(1, 4, side, side),
        "timestep": torch.empty(1),
        "encoder_hidden_states": torch.empty(1, preset.max_sequence_length or 0, 4096),
        "added_cond_kwargs": {"resolution": None, "aspect_ratio": None},
    }


def sana() -> Any:
    return SanaTransformer2DModel()


def sana_call(preset: Preset) -> Call:
    side = preset.size[0] // 32
    return {
        "hidden_states": torch.empty(1, 32, side, side),
        "timestep": torch.empty(1),
        "encoder_hidden_states": torch.empty(1, preset.max_sequence_length or 0, 2304),
    }


def kl_decoder(channels: int) -> Callable[[], Any]:
    def build() -> Any:
        blocks = (128, 256, 512, 512)
        vae = AutoencoderKL(
            block_out_channels=blocks,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
            latent_channels=channels,
        )
        del vae.encoder
        return vae

    return build


def dc_decoder() -> Any:
    blocks = ("ResBlock",) * 3 + ("EfficientViTBlock",) * 3
    channels = (128, 256, 512, 512, 1024, 1024)
    scales = ((), (), (), (5,), (5,), (5,))
    vae = AutoencoderDC(
        latent_channels=32,
        attention_head_dim=32,
        encoder_block_types=blocks,
        decoder_block_types=blocks,
        encoder_block_out_channels=channels,
        decoder_block_out_channels=channels,
        encoder_layers_per_block=(2, 2, 2, 3, 3, 3),
        decoder_layers_per_block=(3, 3, 3, 3, 3, 3),
        encoder_qkv_multiscales=scales,
        decoder_qkv_multiscales=scales,
        upsample_block_type="interpolate",
    )
    del vae.encoder
    return vae


sd35_medium = sd3(24, 24, 384, tuple(range(13)))
sd35_large = sd3(38, 38, 192, ())

# Preset -> its denoiser, that denoiser's arguments, its decoder, and its latent channels.
MODELS: dict[str, tuple[Callable[[], Any], Callable[[Preset], Any], Callable[[], Any], int]] = {
    "sd15": (sd, sd_call, kl_decoder(4), 4),
    "sdxl": (sdxl, sdxl_call, kl_decoder(4), 4),
    "sdxl-turbo": (sdxl, sdxl_call, kl_decoder(4), 4),
    "sd35-medium": (sd35_medium, sd3_call, kl_decoder(16), 16),
    "sd35-large": (sd35_large, sd3_call, kl_decoder(16), 16),
    "sd35-turbo": (sd35_large, sd3_call, kl_decoder(16), 16),
    "flux-dev": (flux, flux_call, kl_decoder(16), 16),
    "flux-schnell": (flux, flux_call, kl_decoder(16), 16),
    "pixart": (pixart, pixart_call, kl_decoder(4), 4),
    "sana": (sana, sana_call, dc_decoder, 32),
}

if __name__ == "__main__":
    main()
