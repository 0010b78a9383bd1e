"""Everything that decides what the trained pipeline is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Everything that decides what comes out. docs/demo.md has the command for the demo's model.

    Attributes:
        source: SOURCE as synfill reads it.
        split: The split; "" for the first.
        label: The class column.
        groups: The group columns that captions name.
        templates: Prompt templates beside the tool's default, with {label} and every group column;
            for captions without groups they are cut at their first comma.
        modifier_share: Share of captions that end in one of the tool's photographic modifiers,
            which the images don't show: so the model learns to pass over them.
        class_only_share: Share of captions without the groups' words.
        empty_share: Share of empty captions.
        size: Width and height of an image in pixels.
        latent_channels: Channels of the latents.
        autoencoder_widths: Channels of each level; every level after the first halves the size.
        autoencoder_groups: Groups of its group norms.
        kl_weight: Weight of the KL term (mean over latents) beside the mean squared error.
        text_width: Width of the text encoder.
        text_layers: Layers of the text encoder.
        text_length: Longest prompt in tokens, begin and end included.
        unet_widths: Channels of each level.
        unet_attention: Whether a level has attention, 1 or 0 each.
        unet_groups: Groups of its group norms.
        unet_layers: Residual blocks a level.
        autoencoder_steps: Steps of stage 1.
        autoencoder_batch: Images a step.
        autoencoder_rate: Largest learning rate; it warms up, then falls to 0 as a cosine.
        decoder_steps: Further steps of the decoder alone.
        decoder_rate: Largest learning rate of these, likewise.
        steps: Steps of stage 2.
        batch: Images a step.
        rate: Largest learning rate, likewise.
        average: Decay of the moving average of the weights.
        seed: Seed of everything.
    """

    source: str
    split: str = ""
    label: str = "label"
    groups: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    modifier_share: float = 0.1
    class_only_share: float = 0.5
    empty_share: float = 0.1
    size: int = 32
    latent_channels: int = 4
    autoencoder_widths: tuple[int, ...] = (16, 32, 48)
    autoencoder_groups: int = 8
    kl_weight: float = 2e-4
    text_width: int = 64
    text_layers: int = 2
    text_length: int = 32
    unet_widths: tuple[int, ...] = (64, 88)
    unet_attention: tuple[int, ...] = (0, 1)
    unet_groups: int = 8
    unet_layers: int = 1
    autoencoder_steps: int = 800
    autoencoder_batch: int = 64
    autoencoder_rate: float = 2e-3
    decoder_steps: int = 1000
    decoder_rate: float = 1e-3
    steps: int = 1500
    batch: int = 128
    rate: float = 1e-3
    average: float = 0.999
    seed: int = 0
