"""What each known text-to-image model wants: steps, guidance, size, scheduler, precision, licence.

A preset is found by its short name ("sdxl") or by its Hub id; other models get the defaults of
their pipeline's family. Knows neither torch nor diffusers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from synfill.generation.models.families.family import Family, Size, find_family


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
        max_sequence_length: Tokens of the long text encoder; None where there is none.
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


def make_preset(name: str, model: str, family: Family, licence: str, **own: Any) -> Preset:
    """A preset with its family's settings where it has none of its own.

    Args:
        name: The short name.
        model: Hub id.
        family: Its family.
        licence: Its licence, or "".
        own: Its own values of Preset's other fields.
    """
    usual: dict[str, Any] = {
        "steps": family.steps,
        "guidance_scale": family.guidance_scale,
        "size": (family.native, family.native),
        "max_sequence_length": family.max_sequence_length,
    }
    return Preset(name=name, model=model, family=family.name, licence=licence, **usual | own)


_SD, _SDXL, _SD3, _FLUX, _PIXART, _SANA = map(
    find_family, ("sd", "sdxl", "sd3", "flux", "pixart", "sana")
)
_DISTILLED: Final[Any] = {"steps": 4, "guidance_scale": 0.0}

PRESETS: Final[tuple[Preset, ...]] = (
    # The model's own PNDM needs 50 steps for what DPM-Solver++ reaches in 25.
    make_preset(
        "sd15",
        "stable-diffusion-v1-5/stable-diffusion-v1-5",
        _SD,
        "creativeml-openrail-m",
        steps=25,
        scheduler="dpm++",
        variant="fp16",
    ),
    make_preset(
        "sdxl", "stabilityai/stable-diffusion-xl-base-1.0", _SDXL, "openrail++", variant="fp16"
    ),
    make_preset(
        "sdxl-turbo",
        "stabilityai/sdxl-turbo",
        _SDXL,
        "sai-nc-community",
        size=(512, 512),
        variant="fp16",
        **_DISTILLED,
    ),
    make_preset(
        "sd35-medium",
        "stabilityai/stable-diffusion-3.5-medium",
        _SD3,
        _STABILITY_LICENCE,
        steps=40,
    ),
    make_preset(
        "sd35-large",
        "stabilityai/stable-diffusion-3.5-large",
        _SD3,
        _STABILITY_LICENCE,
        guidance_scale=3.5,
    ),
    make_preset(
        "sd35-turbo",
        "stabilityai/stable-diffusion-3.5-large-turbo",
        _SD3,
        _STABILITY_LICENCE,
        **_DISTILLED,
    ),
    make_preset(
        "flux-dev", "black-forest-labs/FLUX.1-dev", _FLUX, "flux-1-dev-non-commercial-license"
    ),
    make_preset(
        "flux-schnell",
        "black-forest-labs/FLUX.1-schnell",
        _FLUX,
        "apache-2.0",
        max_sequence_length=256,
        **_DISTILLED,
    ),
    make_preset("pixart", "PixArt-alpha/PixArt-Sigma-XL-2-1024-MS", _PIXART, "openrail++"),
    # Trained for `synfill demo` on scikit-learn's digits; see docs/demo.md.
    make_preset(
        "demo",
        "demo",
        _SD,
        "apache-2.0",
        steps=10,
        guidance_scale=1.5,
        size=(32, 32),
        scheduler="dpm++",
        folder=Path(__file__).parent / "demo",
        vocabulary=_DIGITS | {"red ink", "green ink", "blue ink", "purple ink"},
    ),
    make_preset(
        "sana",
        "Efficient-Large-Model/Sana_1600M_1024px_diffusers",
        _SANA,
        "nscl-v2-custom",
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
