"""What each known text-to-image model wants: steps, guidance, size, scheduler, precision, licence.

A preset is found by its short name ("sdxl") or by its Hub id; other models get the defaults of
their pipeline's family, which are read from the configuration files that stand beside the
weights. Knows neither torch nor diffusers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

Size = tuple[int, int]
"""(width, height) in pixels."""


@dataclass(frozen=True)
class Preset:
    """A known model and the settings that its authors recommend.

    Attributes:
        name: The short name.
        model: Hub id.
        family: A key of FAMILIES.
        steps: Denoising steps.
        guidance_scale: Classifier-free guidance; 0 for distilled models that run without it.
        size: (width, height) that it was trained for.
        licence: Licence identifier (the Hub's, or the licence's own name where that is "other").
        scheduler: A name of `schedulers.SCHEDULERS`; None for the model's own.
        half: The 16-bit type of its denoiser on a GPU. The other parts always take bfloat16
            where the denoiser wants float16 and the device allows it.
        variant: The name of the 16-bit weight files, where the repository has them beside the
            32-bit ones: half the download.
        max_sequence_length: Tokens of the long text encoder; None where there is none.
        negative_prompts: Whether a negative prompt has an effect.
        folder: Where it is inside this package; None for a model of the Hub.
        vocabulary: The only class and group words that it knows; None for a model of the world.
    """

    name: str
    model: str
    family: str
    steps: int
    guidance_scale: float
    size: Size
    licence: str
    scheduler: str | None = None
    half: str = "bfloat16"
    variant: str | None = None
    max_sequence_length: int | None = None
    negative_prompts: bool = True
    folder: Path | None = None
    vocabulary: frozenset[str] | None = None


DEFAULT_MODEL: Final = "sd15"

_STABILITY_LICENCE: Final = "stabilityai-ai-community"

_DIGITS: Final = frozenset(
    ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
)

PRESETS: Final[tuple[Preset, ...]] = (
    # The model's own PNDM needs 50 steps for what DPM-Solver++ reaches in 25.
    Preset(
        "sd15",
        "stable-diffusion-v1-5/stable-diffusion-v1-5",
        "sd",
        steps=25,
        guidance_scale=7.5,
        size=(512, 512),
        licence="creativeml-openrail-m",
        scheduler="dpm++",
        variant="fp16",
    ),
    Preset(
        "sdxl",
        "stabilityai/stable-diffusion-xl-base-1.0",
        "sdxl",
        steps=30,
        guidance_scale=5.0,
        size=(1024, 1024),
        licence="openrail++",
        variant="fp16",
    ),
    Preset(
        "sdxl-turbo",
        "stabilityai/sdxl-turbo",
        "sdxl",
        steps=4,
        guidance_scale=0.0,
        size=(512, 512),
        licence="sai-nc-community",
        variant="fp16",
        negative_prompts=False,
    ),
    Preset(
        "sd35-medium",
        "stabilityai/stable-diffusion-3.5-medium",
        "sd3",
        steps=40,
        guidance_scale=4.5,
        size=(1024, 1024),
        licence=_STABILITY_LICENCE,
        max_sequence_length=256,
    ),
    Preset(
        "sd35-large",
        "stabilityai/stable-diffusion-3.5-large",
        "sd3",
        steps=28,
        guidance_scale=3.5,
        size=(1024, 1024),
        licence=_STABILITY_LICENCE,
        max_sequence_length=256,
    ),
    Preset(
        "sd35-turbo",
        "stabilityai/stable-diffusion-3.5-large-turbo",
        "sd3",
        steps=4,
        guidance_scale=0.0,
        size=(1024, 1024),
        licence=_STABILITY_LICENCE,
        max_sequence_length=256,
        negative_prompts=False,
    ),
    Preset(
        "flux-dev",
        "black-forest-labs/FLUX.1-dev",
        "flux",
        steps=28,
        guidance_scale=3.5,
        size=(1024, 1024),
        licence="flux-1-dev-non-commercial-license",
        max_sequence_length=512,
    ),
    Preset(
        "flux-schnell",
        "black-forest-labs/FLUX.1-schnell",
        "flux",
        steps=4,
        guidance_scale=0.0,
        size=(1024, 1024),
        licence="apache-2.0",
        max_sequence_length=256,
        negative_prompts=False,
    ),
    Preset(
        "pixart",
        "PixArt-alpha/PixArt-Sigma-XL-2-1024-MS",
        "pixart",
        steps=20,
        guidance_scale=4.5,
        size=(1024, 1024),
        licence="openrail++",
        max_sequence_length=300,
    ),
    # Trained for `synfill demo` on scikit-learn's digits; see docs/demo.md.
    Preset(
        "demo",
        "demo",
        "sd",
        steps=10,
        guidance_scale=1.5,
        size=(32, 32),
        licence="apache-2.0",
        scheduler="dpm++",
        folder=Path(__file__).parent / "demo",
        vocabulary=_DIGITS | {"red ink", "green ink", "blue ink", "purple ink"},
    ),
    # Its transformer was trained in float16; its text encoder overflows there.
    Preset(
        "sana",
        "Efficient-Large-Model/Sana_1600M_1024px_diffusers",
        "sana",
        steps=20,
        guidance_scale=4.5,
        size=(1024, 1024),
        licence="nscl-v2-custom",
        half="float16",
        variant="fp16",
        max_sequence_length=300,
    ),
)


@dataclass(frozen=True)
class Family:
    """What the models of one pipeline family have in common.

    Attributes:
        name: The key in FAMILIES.
        steps: Steps of a model that is no preset.
        guidance_scale: Guidance of a model that is no preset.
        native: Pixels a side where the configuration doesn't say.
        multiple: What the pipeline itself insists that width and height are divisible by.
        patch: Latent pixels that the denoiser takes together; the size must be divisible by
            this times the VAE's factor too.
        max_sequence_length: Tokens of the long text encoder; None where there is none.
    """

    name: str
    steps: int
    guidance_scale: float
    native: int
    multiple: int
    patch: int = 1
    max_sequence_length: int | None = None


FAMILIES: Final[Mapping[str, Family]] = {
    family.name: family
    for family in (
        Family("sd", steps=30, guidance_scale=7.5, native=512, multiple=8),
        Family("sdxl", steps=30, guidance_scale=5.0, native=1024, multiple=8),
        Family("sd3", 28, 4.5, native=1024, multiple=1, patch=2, max_sequence_length=256),
        Family("flux", 28, 3.5, native=1024, multiple=1, patch=2, max_sequence_length=512),
        Family("pixart", 20, 4.5, native=1024, multiple=8, patch=2, max_sequence_length=300),
        Family("sana", 20, 4.5, native=1024, multiple=32, max_sequence_length=300),
        # Any other pipeline that AutoPipelineForText2Image knows.
        Family("other", steps=30, guidance_scale=5.0, native=1024, multiple=32),
    )
}

_FAMILY_OF_PIPELINE: Final[Mapping[str, str]] = {
    "StableDiffusionPipeline": "sd",
    "StableDiffusionImg2ImgPipeline": "sd",
    "StableDiffusionInpaintPipeline": "sd",
    "StableDiffusionXLPipeline": "sdxl",
    "StableDiffusionXLImg2ImgPipeline": "sdxl",
    "StableDiffusionXLInpaintPipeline": "sdxl",
    "StableDiffusion3Pipeline": "sd3",
    "StableDiffusion3Img2ImgPipeline": "sd3",
    "FluxPipeline": "flux",
    "FluxImg2ImgPipeline": "flux",
    "PixArtAlphaPipeline": "pixart",
    "PixArtSigmaPipeline": "pixart",
    "SanaPipeline": "sana",
}

# As a part of a name between separators: "sdxl-turbo", "SDXL_Lightning", "FLUX.1-schnell".
_TURBO_NAME: Final = re.compile(
    r"(?:^|[-_./ ])(turbo|lightning|schnell)(?:$|[-_./ ])", re.IGNORECASE
)

TURBO_STEPS: Final = 4
_USUAL_VAE_FACTOR: Final = 8


def short_names() -> tuple[str, ...]:
    """The short names of all presets, the default first."""
    return tuple(preset.name for preset in PRESETS)


def find_preset(model: str) -> Preset | None:
    """The preset of a short name or of a Hub id; None for any other model.

    Args:
        model: What the user wrote. Hub ids are matched without regard to case, as the Hub does.
    """
    for preset in PRESETS:
        if model == preset.name or model.lower() == preset.model.lower():
            return preset
    return None


def family_of(pipeline: str) -> Family:
    """The family of a pipeline class; "other" if its prompts can't be encoded beforehand.

    Args:
        pipeline: The class name in model_index.json.
    """
    return FAMILIES[_FAMILY_OF_PIPELINE.get(pipeline, "other")]


def is_turbo(name: str, family: Family, scheduler: Mapping[str, Any]) -> bool:
    """Whether a model is distilled to a few steps without guidance, as far as can be told.

    Args:
        name: Hub id or folder name.
        family: Its family.
        scheduler: scheduler_config.json; empty if unknown. A local SDXL-Turbo looks like SDXL but
            for its scheduler.
    """
    if _TURBO_NAME.search(name):
        return True
    return (
        family.name == "sdxl"
        and scheduler.get("_class_name") == "EulerAncestralDiscreteScheduler"
        and scheduler.get("timestep_spacing") == "trailing"
    )


def vae_factor(vae: Mapping[str, Any]) -> int | None:
    """Image pixels a latent pixel, by the VAE's config.json; None if it doesn't say."""
    blocks = vae.get("block_out_channels") or vae.get("encoder_block_out_channels")
    return 2 ** (len(blocks) - 1) if blocks else None


def native_size(family: Family, denoiser: Mapping[str, Any], vae: Mapping[str, Any]) -> Size:
    """The size that a model was trained for, by its configuration.

    Args:
        family: Its family, whose usual size stands in for what isn't known.
        denoiser: config.json of the UNet or transformer; may be empty.
        vae: config.json of the VAE; may be empty.
    """
    latent, factor = denoiser.get("sample_size"), vae_factor(vae)
    if latent is None and vae.get("sample_size"):
        latent, factor = vae["sample_size"], 1  # FLUX's transformer takes any size
    if latent is None or factor is None:
        return family.native, family.native
    height, width = latent if isinstance(latent, list | tuple) else (latent, latent)
    return int(width) * factor, int(height) * factor


def size_multiple(family: Family, vae: Mapping[str, Any]) -> int:
    """What width and height must be divisible by."""
    return math.lcm(family.multiple, (vae_factor(vae) or _USUAL_VAE_FACTOR) * family.patch)
