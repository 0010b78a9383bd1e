"""What a family of pipelines is: its defaults, and how it takes prompts.

A family is a component that a model's pipeline class chooses, not the user. torch is imported only
when something is encoded.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Protocol

from synfill.config.components import FAMILIES
from synfill.config.registry import Component

Size = tuple[int, int]
"""(width, height) in pixels."""

Embeddings = dict[str, Any]
"""Argument of the pipeline's call -> tensor of shape (1, ...)."""

# As a part of a name between separators: "sdxl-turbo", "SDXL_Lightning", "FLUX.1-schnell".
_DISTILLED_NAME: Final = re.compile(
    r"(?:^|[-_./ ])(turbo|lightning|schnell)(?:$|[-_./ ])", re.IGNORECASE
)
_USUAL_VAE_FACTOR: Final = 8


class Sampling(Protocol):
    """What of a model's settings the encoding of its prompts depends on."""

    @property
    def guidance_scale(self) -> float:
        """Guidance; up to 1 is without."""

    @property
    def negative_prompts(self) -> bool:
        """Whether negative prompts have an effect."""

    @property
    def max_sequence_length(self) -> int | None:
        """Tokens of its long text encoder; None where there is none."""


class Family(Component):
    """The models of one pipeline family.

    Attributes:
        pipelines: The diffusers classes in model_index.json that are of it.
        steps: Steps of a model that is no preset.
        guidance_scale: Guidance of a model that is no preset.
        native: Pixels a side where the configuration doesn't say.
        multiple: What the pipeline itself insists that width and height are divisible by.
        patch: Latent pixels that the denoiser takes together; the size must be divisible by
            this times the VAE's factor too.
        max_sequence_length: Tokens of the long text encoder; None where there is none.
        flow: Whether all of its models were trained by flow matching.
        half: The 16-bit type of its denoiser on a GPU.
        bears_float16: Whether it runs in float16 too, on a GPU without bfloat16.
        weights_gib: The weights of all parts in 16 bits, in GiB, rounded up.
        guidance_in_weights: Whether guidance is an input of the network, and not a second call.
        changes_guidance: Whether its pipeline looks at the scale anew in every step, and takes
            new embeddings then.
        encodes: Whether prompts can be encoded beforehand; else the call gets them as text.
        splits_negatives: Whether requests with and without a negative prompt can't share a call,
            because guidance is on or off for all of it.
        call: What its call gets beside the common arguments, where it takes them.
    """

    name: str
    pipelines: ClassVar[tuple[str, ...]] = ()
    steps: ClassVar[int] = 30
    guidance_scale: ClassVar[float] = 5.0
    native: ClassVar[int] = 1024
    multiple: ClassVar[int] = 1
    patch: ClassVar[int] = 1
    max_sequence_length: ClassVar[int | None] = None
    flow: ClassVar[bool] = False
    half: ClassVar[str] = "bfloat16"
    bears_float16: ClassVar[bool] = False
    weights_gib: ClassVar[int] = 16
    guidance_in_weights: ClassVar[bool] = False
    changes_guidance: ClassVar[bool] = False
    encodes: ClassVar[bool] = True
    splits_negatives: ClassVar[bool] = False
    call: ClassVar[Mapping[str, Any]] = {}

    def encode(self, pipe: Any, model: Sampling, prompt: str, negative: str) -> Embeddings:
        """Encode one prompt, so that it is encoded once however many images show it.

        Args:
            pipe: The pipeline.
            model: Its settings.
            prompt: The prompt.
            negative: Its negative prompt; "" for none.

        Returns:
            What the call takes in the prompt's place.
        """
        raise NotImplementedError

    def call_arguments(self, embeddings: Embeddings) -> Mapping[str, Any]:
        """What the call gets beside the common arguments and these embeddings."""
        return self.call

    def part_types(self, dtype: str) -> str | dict[str, str]:
        """The number type of each part: one for all, or by the part's name with a "default"."""
        return dtype

    def is_distilled(self, name: str, scheduler: Mapping[str, Any]) -> bool:
        """Whether a model is distilled to a few steps without guidance, as far as can be seen.

        Args:
            name: Hub id or folder name.
            scheduler: scheduler_config.json; empty if unknown.
        """
        return _DISTILLED_NAME.search(name) is not None

    def takes_negatives(self, guidance_scale: float, *, distilled: bool) -> bool:
        """Whether negative prompts have an effect at this guidance scale."""
        return not distilled if self.guidance_in_weights else guidance_scale > 1

    def native_size(self, denoiser: Mapping[str, Any], vae: Mapping[str, Any]) -> Size:
        """The size that a model was trained for, by its configuration.

        Args:
            denoiser: config.json of the UNet or transformer; may be empty.
            vae: config.json of the VAE; may be empty.
        """
        latent, factor = denoiser.get("sample_size"), _vae_factor(vae)
        if latent is None and vae.get("sample_size"):
            latent, factor = vae["sample_size"], 1  # FLUX's transformer takes any size
        if latent is None or factor is None:
            return self.native, self.native
        height, width = latent if isinstance(latent, list | tuple) else (latent, latent)
        return int(width) * factor, int(height) * factor

    def size_multiple(self, vae: Mapping[str, Any]) -> int:
        """What width and height must be divisible by; the VAE's config.json may be empty."""
        return math.lcm(self.multiple, (_vae_factor(vae) or _USUAL_VAE_FACTOR) * self.patch)


def find_family(name: str) -> Family:
    """The family of a name."""
    family = FAMILIES[name]()
    assert isinstance(family, Family)
    return family


def family_of(pipeline: str) -> Family:
    """The family of a pipeline class; "other" if it is of none.

    Args:
        pipeline: The class name in model_index.json.
    """
    every = map(find_family, FAMILIES.names)
    return next((family for family in every if pipeline in family.pipelines), find_family("other"))


def is_guided(pipe: Any, guidance_scale: float) -> bool:
    """Whether the pipeline runs with classifier-free guidance, as it will decide itself."""
    unet = getattr(pipe, "unet", None)
    if unet is not None and unet.config.time_cond_proj_dim is not None:
        return False  # guidance is an input of the network
    return guidance_scale > 1


def present(**tensors: Any) -> Embeddings:
    """The tensors that there are."""
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


def _vae_factor(vae: Mapping[str, Any]) -> int | None:
    """Image pixels a latent pixel, by the VAE's config.json; None if it doesn't say."""
    blocks = vae.get("block_out_channels") or vae.get("encoder_block_out_channels")
    return 2 ** (len(blocks) - 1) if blocks else None
