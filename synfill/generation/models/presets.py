"""What each known text-to-image model wants: steps, guidance, size, scheduler, precision, licence.

The models are listed in `config/generator.py`. A preset is found by its short name ("sdxl") or by
its Hub id; other models get the defaults of their pipeline's family. Knows neither torch nor
diffusers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from synfill.config.generator import MODELS
from synfill.generation.models.families.family import Size, find_family


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
        scheduler: A name of SCHEDULERS; None for the model's own.
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


def make_preset(name: str, *, model: str, family: str, licence: str = "", **own: Any) -> Preset:
    """A preset with its family's settings where it has none of its own.

    Args:
        name: The short name.
        model: Hub id.
        family: Its family's name.
        licence: Its licence, or "".
        own: Its own values of Preset's other fields; `folder` is a name beside this file.
    """
    its_family = find_family(family)
    usual: dict[str, Any] = {
        "steps": its_family.steps,
        "guidance_scale": its_family.guidance_scale,
        "size": (its_family.native, its_family.native),
        "max_sequence_length": its_family.max_sequence_length,
    }
    if "folder" in own:
        own["folder"] = Path(__file__).parent / own["folder"]
    return Preset(name=name, model=model, family=family, licence=licence, **usual | own)


PRESETS: Final = tuple(make_preset(name, **known) for name, known in MODELS.items())


def find_preset(model: str) -> Preset | None:
    """The preset of a short name or of a Hub id; None for any other model.

    Args:
        model: What the user wrote. Hub ids are matched without regard to case, as the Hub does.
    """
    for preset in PRESETS:
        if model == preset.name or model.lower() == preset.model.lower():
            return preset
    return None
