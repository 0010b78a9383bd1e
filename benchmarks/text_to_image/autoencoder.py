"""Stage 1: the autoencoder, the latents of all images, and its decoder alone on them."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from benchmarks.text_to_image.loop import Losses, Session, train
from benchmarks.text_to_image.networks import build_autoencoder
from benchmarks.text_to_image.pictures import Pictures, to_range


def train_autoencoder(session: Session, pictures: Pictures) -> tuple[AutoencoderKL, Losses]:
    """Encoder and decoder together."""
    settings, device = session.settings, session.device
    torch.manual_seed(settings.seed)
    model = build_autoencoder(settings).to(device)
    count = len(pictures.pixels)

    def compute_loss(generator: torch.Generator) -> Tensor:
        chosen = torch.randint(count, (settings.autoencoder_batch,), generator=generator)
        images = to_range(pictures.pixels[chosen]).to(device)
        latents = model.encode(images).latent_dist
        noise = torch.randn(latents.mean.shape, generator=generator).to(device)
        made = model.decode(latents.mean + latents.std * noise).sample
        divergence = 0.5 * (latents.mean**2 + latents.var - 1 - latents.logvar).mean()
        return nn.functional.mse_loss(made, images) + settings.kl_weight * divergence

    losses = train(
        "autoencoder",
        model,
        compute_loss,
        settings.autoencoder_steps,
        settings.autoencoder_rate,
        session,
    )
    return model, losses


@torch.no_grad()
def encode_pictures(model: AutoencoderKL, pictures: Pictures, device: str) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of every image's latents; sets the model's scaling factor.

    Returns:
        Two of shape (images, channels, height, width), scaled: together they have a standard
        deviation of 1.
    """
    means, deviations = [], []
    for pixels in pictures.pixels.split(256):
        latents = model.encode(to_range(pixels).to(device)).latent_dist
        means.append(latents.mean.cpu())
        deviations.append(latents.std.cpu())
    mean, deviation = torch.cat(means), torch.cat(deviations)
    scale = float(1 / torch.sqrt(mean.var() + (deviation**2).mean()))
    model.register_to_config(scaling_factor=scale)
    error = measure_error(model, pictures, device)
    print(f"autoencoder: mean squared error {error:.5f}, scaling factor {scale:.4f}", flush=True)
    return mean * scale, deviation * scale


@torch.no_grad()
def measure_error(model: AutoencoderKL, pictures: Pictures, device: str) -> float:
    """Mean squared error of all images, encoded and decoded, as -1..1."""
    total = 0.0
    for pixels in pictures.pixels.split(256):
        images = to_range(pixels).to(device)
        made = model.decode(model.encode(images).latent_dist.mean).sample
        total += float(((made - images) ** 2).mean()) * len(pixels)
    return total / len(pictures.pixels)


class Decoder(nn.Module):
    """What an autoencoder decodes with."""

    def __init__(self, autoencoder: AutoencoderKL) -> None:
        super().__init__()
        self.post_quant_conv = autoencoder.post_quant_conv
        self.decoder = autoencoder.decoder

    def forward(self, latents: Tensor) -> Tensor:
        """Images, -1..1, of latents that aren't scaled."""
        return self.decoder(self.post_quant_conv(latents))


def train_decoder(
    session: Session,
    autoencoder: AutoencoderKL,
    pictures: Pictures,
    latents: tuple[Tensor, Tensor],
) -> Losses:
    """The decoder alone, on latents (as encode_pictures gives them)."""
    settings, device = session.settings, session.device
    mean, deviation = (part / autoencoder.config.scaling_factor for part in latents)

    decoder = Decoder(autoencoder)

    def compute_loss(generator: torch.Generator) -> Tensor:
        chosen = torch.randint(len(mean), (settings.autoencoder_batch,), generator=generator)
        noise = torch.randn(mean[chosen].shape, generator=generator)
        made = decoder((mean[chosen] + deviation[chosen] * noise).to(device))
        return nn.functional.mse_loss(made, to_range(pictures.pixels[chosen]).to(device))

    return train(
        "decoder",
        decoder,
        compute_loss,
        settings.decoder_steps,
        settings.decoder_rate,
        session,
    )
