"""Everything that a user chooses by name: one registry a kind, one line a component.

A line is the component's name and where it is; its file holds its options and its code. Help
texts, `synfill recipes`, the docs' tables and the suggestions in error messages list these.
"""

from __future__ import annotations

from synfill.config.registry import Registry

CHECKS = Registry(
    "check",
    "checks",
    {
        "size": "synfill.quality.size:Size",
        "finite": "synfill.quality.finite:Finite",
        "flagged": "synfill.quality.flagged:Flagged",
        "blank": "synfill.quality.blank:Blank",
    },
)

ENGINES = Registry("engine", "engines", {"local": "synfill.generation.fill.local:LocalEngine"})

FAMILIES = Registry(
    "model family",
    "model families",
    {
        "sd": "synfill.generation.models.families.stable_diffusion:StableDiffusion",
        "sdxl": "synfill.generation.models.families.sdxl:StableDiffusionXL",
        "sd3": "synfill.generation.models.families.sd3:StableDiffusion3",
        "flux": "synfill.generation.models.families.flux:Flux",
        "pixart": "synfill.generation.models.families.pixart:PixArt",
        "sana": "synfill.generation.models.families.sana:Sana",
        "other": "synfill.generation.models.families.other:Other",
    },
)
