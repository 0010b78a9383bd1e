"""What a user may say of a generator, and the names that generators and schedulers go by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import field_validator

from synfill.config.settings import Settings, option
from synfill.errors import UsageError

DataType = Literal["auto", "float32", "bfloat16", "float16"]
MAX_SIDE = 8192
MAX_BATCH = 4096
GENERATOR = "The generator"
DEFAULT_MODEL: Final = "sd15"
_STABILITY_LICENCE: Final = "stabilityai-ai-community"
_DISTILLED: Final[Mapping[str, Any]] = {"steps": 4, "guidance_scale": 0.0}
_DIGITS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

MODELS: Final[Mapping[str, Mapping[str, Any]]] = {
    # The model's own PNDM needs 50 steps for what DPM-Solver++ reaches in 25.
    "sd15": {
        "model": "stable-diffusion-v1-5/stable-diffusion-v1-5",
        "family": "sd",
        "licence": "creativeml-openrail-m",
        "steps": 25,
        "scheduler": "dpm++",
        "variant": "fp16",
    },
    "sdxl": {
        "model": "stabilityai/stable-diffusion-xl-base-1.0",
        "family": "sdxl",
        "licence": "openrail++",
        "variant": "fp16",
    },
    "sdxl-turbo": {
        "model": "stabilityai/sdxl-turbo",
        "family": "sdxl",
        "licence": "sai-nc-community",
        "size": (512, 512),
        "variant": "fp16",
        **_DISTILLED,
    },
    "sd35-medium": {
        "model": "stabilityai/stable-diffusion-3.5-medium",
        "family": "sd3",
        "licence": _STABILITY_LICENCE,
        "steps": 40,
    },
    "sd35-large": {
        "model": "stabilityai/stable-diffusion-3.5-large",
        "family": "sd3",
        "licence": _STABILITY_LICENCE,
        "guidance_scale": 3.5,
    },
    "sd35-turbo": {
        "model": "stabilityai/stable-diffusion-3.5-large-turbo",
        "family": "sd3",
        "licence": _STABILITY_LICENCE,
        **_DISTILLED,
    },
    "flux-dev": {
        "model": "black-forest-labs/FLUX.1-dev",
        "family": "flux",
        "licence": "flux-1-dev-non-commercial-license",
    },
    "flux-schnell": {
        "model": "black-forest-labs/FLUX.1-schnell",
        "family": "flux",
        "licence": "apache-2.0",
        "max_sequence_length": 256,
        **_DISTILLED,
    },
    "pixart": {
        "model": "PixArt-alpha/PixArt-Sigma-XL-2-1024-MS",
        "family": "pixart",
        "licence": "openrail++",
    },
    "sana": {
        "model": "Efficient-Large-Model/Sana_1600M_1024px_diffusers",
        "family": "sana",
        "licence": "nscl-v2-custom",
        "variant": "fp16",
    },
    # Trained for `synfill demo` on scikit-learn's digits; see docs/demo.md.
    "demo": {
        "model": "demo",
        "family": "sd",
        "licence": "apache-2.0",
        "steps": 10,
        "guidance_scale": 1.5,
        "size": (32, 32),
        "scheduler": "dpm++",
        "folder": "demo",
        "vocabulary": frozenset((*_DIGITS, "red ink", "green ink", "blue ink", "purple ink")),
    },
}
"""Short name -> what is known of a model: the fields of `generation.models.presets.Preset`. What
isn't there is as its family has it."""

SCHEDULERS: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "ddim": ("DDIMScheduler", {}),
    "dpm++": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++"}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler-a": ("EulerAncestralDiscreteScheduler", {}),
    "unipc": ("UniPCMultistepScheduler", {}),
    "ddpm": ("DDPMScheduler", {}),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
    "dpm++-karras": (
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "dpmsolver++", "use_karras_sigmas": True},
    ),
    "dpm++-sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "heun": ("HeunDiscreteScheduler", {}),
    "lcm": ("LCMScheduler", {}),
}
"""Name -> (diffusers class, what its configuration gets beside the model's own); the first five
are named in the help."""


class GeneratorSettings(Settings):
    """Which generator makes images, and how; None is the model's own default."""

    model: str = option(
        DEFAULT_MODEL,
        f"{', '.join(MODELS)}; any Hub id or folder of a diffusers pipeline.".replace(
            DEFAULT_MODEL, f"{DEFAULT_MODEL} (default)", 1
        ),
        panel=GENERATOR,
    )
    revision: str | None = option(None, "The model's revision.", panel=GENERATOR)
    lora: str | None = option(None, "A LoRA, as a file, folder or Hub id.", panel=GENERATOR)
    steps: int | None = option(
        None, "Denoising steps. Default: the model's.", panel=GENERATOR, ge=1, le=1000
    )
    guidance_scale: float | None = option(
        None,
        "Guidance scale. Default: the model's.",
        panel=GENERATOR,
        ge=0,
        le=1000,
        allow_inf_nan=False,
    )
    guidance_interval: str | None = option(
        None,
        "Guidance only between these shares of the steps, as 0.2,0.8: faster, and more "
        "varied images. Stable Diffusion and SDXL. Default: in all steps.",
        panel=GENERATOR,
        metavar="START,STOP",
    )
    size: str | None = option(
        None,
        "Pixels at which images are generated, before they take the real ones' "
        "size. Default: the model's.",
        panel=GENERATOR,
        metavar="N|WxH",
    )
    scheduler: str | None = option(
        None,
        f"{', '.join([*SCHEDULERS][:5])}, ... Default: the model's.",
        panel=GENERATOR,
    )
    dtype: DataType = option(
        "auto",
        "auto (default: bfloat16 on a GPU, float32 on a CPU), float32, bfloat16, float16.",
        panel=GENERATOR,
        is_text=True,
    )
    device: str = option("auto", "auto (default), cuda, cuda:1, mps, cpu.", panel=GENERATOR)
    batch_size: int | None = option(
        None,
        "Images made at a time: auto (default) or a number.",
        panel=GENERATOR,
        metavar="auto|N",
        is_text=True,
        ge=1,
        le=MAX_BATCH,
    )
    offload: bool = option(
        False,
        "Keep on the GPU only the part of the model at work: for small cards.",
        panel=GENERATOR,
    )
    compile: bool = option(
        False, "Compile the denoiser: minutes at the start, faster after.", panel=GENERATOR
    )

    @field_validator("guidance_interval", mode="before")
    @classmethod
    def _joined(cls, value: Any) -> Any:
        return ",".join(map(str, value)) if isinstance(value, list | tuple) else value

    @field_validator("size", mode="before")
    @classmethod
    def _size_as_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int | float) else value

    @field_validator("dtype", mode="before")
    @classmethod
    def _long_name(cls, value: Any) -> Any:
        short = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
        return short.get(value, value) if isinstance(value, str) else value

    @field_validator("batch_size", mode="before")
    @classmethod
    def _auto(cls, value: Any) -> Any:
        return None if value == "auto" else value

    @property
    def pixels(self) -> tuple[int, int] | None:
        """`size` as (width, height); None for the model's own.

        Raises:
            UsageError: It is neither N nor WxH.
        """
        if self.size is None:
            return None
        found = re.fullmatch(r"([0-9]{1,9})(?:[xX]([0-9]{1,9}))?", self.size)
        if found is None:
            raise UsageError(f"--size takes pixels, as 512 or 768x512, not '{self.size}'.")
        size = int(found[1]), int(found[2] or found[1])
        if max(size) > MAX_SIDE:
            raise UsageError(
                f"--size {self.size} is more than any model makes or memory holds ({MAX_SIDE})."
            )
        return size

    @property
    def guided_shares(self) -> tuple[float, float] | None:
        """`guidance_interval` as (start, stop); None for guidance in every step.

        Raises:
            UsageError: It isn't two numbers.
        """
        if self.guidance_interval is None:
            return None
        try:
            start, stop = map(float, self.guidance_interval.split(","))
        except ValueError:
            raise UsageError(
                "--guidance-interval takes two shares of the steps, START,STOP, not "
                f"'{self.guidance_interval}'.",
                "For example --guidance-interval 0.2,0.8",
            ) from None
        return start, stop
