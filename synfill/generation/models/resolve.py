"""What a run's generator will be, known before any weights are read or fetched.

`resolve_model` turns what the user asked for into a `ResolvedModel` with every setting filled
in; the identity of a run and the dry run's estimate are made from it. diffusers isn't imported,
and torch only to see which devices there are.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from synfill.config.generator import MODELS, GeneratorSettings
from synfill.devices import find_device, has_bfloat16
from synfill.errors import UsageError, suggest
from synfill.generation.models.families.family import Family, Size, family_of, find_family
from synfill.generation.models.folder import ModelFolder, fingerprint_model, read_model_folder
from synfill.generation.models.guidance import Interval, check_interval
from synfill.generation.models.lora import find_lora
from synfill.generation.models.presets import Preset, find_preset, make_preset
from synfill.generation.models.schedulers import check_scheduler, is_flow_matching
from synfill.hub.errors import Unreachable
from synfill.hub.snapshot import CONFIG_FILES, REPO_ID, snapshot
from synfill.records import ModelInfo

DISTILLED_STEPS: Final = 4
"""Steps of a distilled model that is no preset."""


@dataclass(frozen=True, kw_only=True)
class ResolvedModel(ModelInfo):
    """A generator with every setting known.

    Its revision and pipeline are "" if the Hub couldn't be reached.

    Attributes:
        source: What it is loaded from: the Hub id, or the folder's absolute path.
        preset: Its short name; "" if it is no preset.
        family: A name of FAMILIES.
        steps: Denoising steps.
        guidance_scale: Guidance.
        size: (width, height) in pixels that it generates.
        scheduler: Name of the scheduler; None for the model's own.
        flow: Whether it was trained by flow matching.
        negative_prompts: Whether negative prompts have an effect with this guidance.
        max_sequence_length: Tokens of its long text encoder; None where there is none.
        dtype: "float32", "bfloat16" or "float16".
        device: "cuda", "cuda:N", "mps" or "cpu".
        variant: The weight files to read, if not the plain ones.
        lora: What the LoRA is loaded from: Hub id or absolute path; "" for none.
        lora_revision: Its commit or fingerprint; "" for none.
        compile: Whether the denoiser is compiled.
        offload: Whether only the part at work is on the GPU.
        guidance_interval: Between which shares of the steps there is guidance; None for all.
    """

    source: str
    preset: str
    family: str
    steps: int
    guidance_scale: float
    size: Size
    scheduler: str | None
    flow: bool
    negative_prompts: bool
    max_sequence_length: int | None
    dtype: str
    device: str
    variant: str | None
    lora: str
    lora_revision: str
    compile: bool
    offload: bool
    guidance_interval: Interval | None = None

    def info(self) -> ModelInfo:
        """The model as the card and run.json name it."""
        return ModelInfo(**{each.name: getattr(self, each.name) for each in fields(ModelInfo)})

    def identity(self) -> dict[str, Any]:
        """The settings that change the images. Device, offload and where it lies don't."""
        found = {
            "model": self.id,
            "revision": self.revision,
            "steps": self.steps,
            "guidance_scale": self.guidance_scale,
            "size": list(self.size),
            "scheduler": self.scheduler,
            "dtype": self.dtype,
            "lora": Path(self.lora).name if self.lora_is_local else self.lora,
            "lora_revision": self.lora_revision,
            "compile": self.compile,
        }
        # Only where it is used: runs from before there was such an option stay the same runs.
        if self.guidance_interval is not None:
            found["guidance_interval"] = list(self.guidance_interval)
        return found

    @property
    def lora_is_local(self) -> bool:
        """Whether the LoRA is a local file or folder."""
        return bool(self.lora) and Path(self.lora).is_absolute()


def resolve_model(settings: GeneratorSettings) -> ResolvedModel:
    """Find the model and fill in every setting that was left open.

    For a Hub model this fetches its configuration files (a few kilobytes) to learn its commit
    and what it is; a preset is resolved without them if the Hub can't be reached.

    Raises:
        UsageError: No such model, device, scheduler, number type or LoRA; a size that the model
            can't make; settings that contradict each other.
        RunError: A Hub model that can't be had (see `hub.snapshot`), or broken configuration.
    """
    preset = _preset(settings.model)
    folder, is_local = _find_folder(settings, preset)
    name = preset.model if preset else settings.model
    if folder is not None:
        family = family_of(folder.pipeline)
    else:
        assert preset is not None, "only a preset is resolved without its files"
        family = find_family(preset.family)
    defaults = preset or _defaults(settings.model, family, folder)
    own_scheduler = folder.scheduler if folder else {}
    flow = family.flow or is_flow_matching(own_scheduler)
    scheduler = settings.scheduler or defaults.scheduler
    if scheduler is not None:
        check_scheduler(scheduler, name, own_scheduler, flow=flow)
    size = settings.pixels or defaults.size
    check_size(size, family.size_multiple(folder.vae if folder else {}), name)
    steps = settings.steps or defaults.steps
    guidance = settings.guidance_scale
    if guidance is None:
        guidance = defaults.guidance_scale
    interval = settings.guided_shares
    if interval is not None:
        check_interval(interval, guidance, steps, family, name)
    device = find_device(settings.device)
    if settings.offload and device == "cpu":
        raise UsageError(
            "--offload moves parts of the model between a GPU and main memory; here is no GPU.",
            "Leave --offload out.",
        )
    dtype = settings.dtype if settings.dtype != "auto" else _choose_dtype(family, device)
    lora, lora_revision = find_lora(settings.lora)
    path = folder.path if folder else None
    revision = path.name if path else ""
    return ResolvedModel(
        id=path.name if is_local and path else name,
        source=str(path) if is_local else name,
        revision=fingerprint_model(path) if is_local and path else revision,
        preset=preset.name if preset else "",
        pipeline=folder.pipeline if folder else "",
        family=family.name,
        licence=defaults.licence or (folder.licence if folder else ""),
        is_local=is_local,
        steps=steps,
        guidance_scale=guidance,
        size=size,
        scheduler=scheduler,
        flow=flow,
        negative_prompts=family.takes_negatives(guidance, distilled=defaults.is_distilled),
        max_sequence_length=defaults.max_sequence_length,
        dtype=dtype,
        device=device,
        variant=None if is_local or dtype == "float32" else defaults.variant,
        lora=lora,
        lora_revision=lora_revision,
        compile=settings.compile,
        offload=settings.offload,
        guidance_interval=interval,
    )


def _preset(model: str) -> Preset | None:
    """The preset; a folder that has a preset's Hub id as its path wins over it."""
    if model not in MODELS and os.path.isdir(os.path.expanduser(model)):
        return None
    return find_preset(model)


def _find_folder(
    settings: GeneratorSettings, preset: Preset | None
) -> tuple[ModelFolder | None, bool]:
    """The model's configuration, and whether it is a local folder."""
    model = settings.model
    path = Path(os.path.expanduser(model))
    if preset is not None and preset.folder is not None:
        if settings.revision:
            raise UsageError(f"The model {model} has no revisions.", "Leave --revision out.")
        return read_model_folder(preset.folder, model), True
    if preset is None and os.path.isdir(path):
        if settings.revision:
            raise UsageError(
                f"{model} is a local folder, which has no revisions.", "Leave --revision out."
            )
        return read_model_folder(path.resolve(), model), True
    repo = preset.model if preset else model
    if not REPO_ID.fullmatch(repo):
        raise UsageError(
            f"There is no model '{model}': it is no short name, no folder, and no Hub id "
            "(owner/name).",
            suggest(model, MODELS, "short names"),
        )
    try:
        found = snapshot(repo, settings.revision, CONFIG_FILES, "model")
    except Unreachable:
        if preset is None or settings.revision:
            raise
        return None, False
    if preset is not None and not (found / "model_index.json").is_file():
        return None, False
    return read_model_folder(found, repo), False


def _defaults(model: str, family: Family, folder: ModelFolder | None) -> Preset:
    """A preset made from what the configuration says."""
    denoiser, vae = (folder.denoiser, folder.vae) if folder else ({}, {})
    own: dict[str, Any] = {"size": family.native_size(denoiser, vae)}
    if family.is_distilled(Path(model).name, folder.scheduler if folder else {}):
        own |= {"steps": DISTILLED_STEPS, "guidance_scale": 0.0}
    return make_preset("", model=model, family=family.name, **own)


def _choose_dtype(family: Family, device: str) -> str:
    """The number type that suits a device: 32 bits on a CPU, else 16.

    bfloat16 needs a GPU that has it, and not all models bear float16; on Apple's GPUs bfloat16
    came late and is no faster.
    """
    kind = device.partition(":")[0]
    if kind == "mps":
        return "float16"
    if kind != "cuda":
        return "float32"
    return "float16" if family.bears_float16 and not has_bfloat16(device) else family.half


def check_size(size: Size, multiple: int, name: str) -> None:
    """Refuse a size that a model can't make.

    Raises:
        UsageError: Width or height is no multiple of what it must be, or nothing.
    """
    if min(size) < 1 or size[0] % multiple or size[1] % multiple:
        near = " x ".join(str(max(1, round(side / multiple)) * multiple) for side in size)
        raise UsageError(
            f"{name} can't make images of {size[0]} x {size[1]} pixels: width and height must be "
            f"multiples of {multiple}.",
            f"The nearest is {near}. Synthetic images are resized to the real ones' size anyway.",
        )
