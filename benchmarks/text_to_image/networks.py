"""The parts of the pipeline before they are trained, and the noise that they learn from."""

from __future__ import annotations

from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from benchmarks.text_to_image.settings import Settings


def build_autoencoder(settings: Settings) -> AutoencoderKL:
    """The autoencoder; its latents' scale is set when it is trained."""
    widths = settings.autoencoder_widths
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        block_out_channels=widths,
        layers_per_block=1,
        latent_channels=settings.latent_channels,
        norm_num_groups=settings.autoencoder_groups,
        sample_size=settings.size,
    )


def build_text_encoder(settings: Settings, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """The text encoder."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=settings.text_width,
            intermediate_size=4 * settings.text_width,
            projection_dim=settings.text_width,
            num_hidden_layers=settings.text_layers,
            num_attention_heads=4,
            max_position_embeddings=settings.text_length,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def build_unet(settings: Settings) -> UNet2DConditionModel:
    """The denoiser."""
    widths, attention = settings.unet_widths, settings.unet_attention
    down = ["CrossAttnDownBlock2D" if has else "DownBlock2D" for has in attention]
    up = ["CrossAttnUpBlock2D" if has else "UpBlock2D" for has in reversed(attention)]
    return UNet2DConditionModel(
        sample_size=settings.size // 2 ** (len(settings.autoencoder_widths) - 1),
        in_channels=settings.latent_channels,
        out_channels=settings.latent_channels,
        down_block_types=tuple(down),
        up_block_types=tuple(up),
        block_out_channels=widths,
        layers_per_block=settings.unet_layers,
        cross_attention_dim=settings.text_width,
        attention_head_dim=4,
        norm_num_groups=settings.unet_groups,
    )


def build_noise() -> DDPMScheduler:
    """Stable Diffusion's noise; the model says the velocity, which a small one learns well."""
    return DDPMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        steps_offset=1,
        prediction_type="v_prediction",
    )
