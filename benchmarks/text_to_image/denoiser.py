"""Stage 2: the UNet together with the text encoder, on latents and captions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from benchmarks.text_to_image.captions import Captions, draw_captions
from benchmarks.text_to_image.loop import Losses, Session, train
from benchmarks.text_to_image.networks import build_noise, build_text_encoder, build_unet
from benchmarks.text_to_image.pictures import Pictures


class Denoiser(nn.Module):
    """UNet and text encoder, which are trained together."""

    def __init__(self, unet: UNet2DConditionModel, text_encoder: CLIPTextModel) -> None:
        super().__init__()
        self.unet = unet
        self.text_encoder = text_encoder

    def forward(self, noisy: Tensor, times: Tensor, tokens: Tensor) -> Tensor:
        """The velocity: shape as `noisy` (batch, channels, height, width)."""
        words = self.text_encoder(tokens)[0]
        return self.unet(noisy, times, words).sample


def build_denoiser(session: Session, tokenizer: CLIPTokenizer) -> Denoiser:
    """UNet and text encoder with random weights, on their device."""
    settings = session.settings
    torch.manual_seed(settings.seed)
    unet = build_unet(settings)
    return Denoiser(unet, build_text_encoder(settings, tokenizer)).to(session.device)


def train_denoiser(
    session: Session,
    denoiser: Denoiser,
    pictures: Pictures,
    latents: tuple[Tensor, Tensor],
    captions: Captions,
    show: Callable[[int], None],
) -> Losses:
    """Trains on latents (as encode_pictures gives them); `show` as in `train`."""
    settings, device = session.settings, session.device
    mean, deviation = latents
    noise_schedule = build_noise()

    def compute_loss(generator: torch.Generator) -> Tensor:
        chosen = torch.randint(len(mean), (settings.batch,), generator=generator)
        clean = mean[chosen]
        clean = clean + deviation[chosen] * torch.randn(clean.shape, generator=generator)
        noise = torch.randn(clean.shape, generator=generator)
        times = torch.randint(1000, (settings.batch,), generator=generator)
        tokens = draw_captions(captions, pictures.cell_of[chosen], settings, generator)
        noisy = noise_schedule.add_noise(clean, noise, times)
        velocity = noise_schedule.get_velocity(clean, noise, times)
        predicted = denoiser(noisy.to(device), times.to(device), tokens.to(device))
        return nn.functional.mse_loss(predicted, velocity.to(device))

    return train("denoiser", denoiser, compute_loss, settings.steps, settings.rate, session, show)
