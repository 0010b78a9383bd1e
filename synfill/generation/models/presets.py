"""What each known text-to-image model wants: steps, guidance, size, scheduler, precision, licence.

A preset is found by its short name ("sdxl") or by its Hub id; other models get the defaults of
their pipeline's family. Knows neither torch nor diffusers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from synfill.generation.models.families.family import Size


@dataclass(frozen=True)
class Preset:
    """A known model and the settings that its authors recommend.

    Attributes:
        name: The short name.
        model: Hub id.
        family: A name of FAMILIES.
        steps: Denoising steps.
        guidance_scale: Classifier-free guidance; 0 for distilled models that run without it.
        size: (width, height) that it was trained for.
        licence: Licence identifier (the Hub's, or the licence's own name where that is "other").
        scheduler: A name of `schedulers.SCHEDULERS`; None for the model's own.
        variant: The name of the 16-bit weight files, where the repository has them beside the
            32-bit ones: half the download.
        max_sequence_length: Tokens of the long text encoder; None for the family's.
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
    variant: str | None = None
    max_sequence_length: int | None = None
    folder: Path | None = None
    vocabulary: frozenset[str] | None = None

    @property
    def is_distilled(self) -> bool:
        """Whether it is distilled to a few steps without guidance."""
        return self.guidance_scale == 0


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
    ),
    Preset(
        "sd35-medium",
        "stabilityai/stable-diffusion-3.5-medium",
        "sd3",
        steps=40,
        guidance_scale=4.5,
        size=(1024, 1024),
        licence=_STABILITY_LICENCE,
    ),
    Preset(
        "sd35-large",
        "stabilityai/stable-diffusion-3.5-large",
        "sd3",
        steps=28,
        guidance_scale=3.5,
        size=(1024, 1024),
        licence=_STABILITY_LICENCE,
    ),
    Preset(
        "sd35-turbo",
        "stabilityai/stable-diffusion-3.5-large-turbo",
        "sd3",
        steps=4,
        guidance_scale=0.0,
        size=(1024, 1024),
        licence=_STABILITY_LICENCE,
    ),
    Preset(
        "flux-dev",
        "black-forest-labs/FLUX.1-dev",
        "flux",
        steps=28,
        guidance_scale=3.5,
        size=(1024, 1024),
        licence="flux-1-dev-non-commercial-license",
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
    ),
    Preset(
        "pixart",
        "PixArt-alpha/PixArt-Sigma-XL-2-1024-MS",
        "pixart",
        steps=20,
        guidance_scale=4.5,
        size=(1024, 1024),
        licence="openrail++",
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
    Preset(
        "sana",
        "Efficient-Large-Model/Sana_1600M_1024px_diffusers",
        "sana",
        steps=20,
        guidance_scale=4.5,
        size=(1024, 1024),
        licence="nscl-v2-custom",
        variant="fp16",
    ),
)


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
