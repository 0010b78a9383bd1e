"""What a run's generator will be, known before any weights are read or fetched.

`resolve_model` turns what the user asked for into a `ResolvedModel` with every setting filled
in; the identity of a run and the dry run's estimate are made from it. diffusers isn't imported,
and torch only to see which devices there are.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synfill.devices import find_device, has_bfloat16
from synfill.errors import UsageError, suggest
from synfill.generation.models.folder import ModelFolder, fingerprint_model, read_model_folder
from synfill.generation.models.guidance import Interval, check_interval
from synfill.generation.models.presets import (
    DEFAULT_MODEL,
    FAMILIES,
    TURBO_STEPS,
    Family,
    Preset,
    Size,
    family_of,
    find_preset,
    is_turbo,
    native_size,
    short_names,
    size_multiple,
)
from synfill.generation.models.schedulers import check_scheduler, is_flow_family, is_flow_matching
from synfill.generation.pipeline.precision import find_dtype
from synfill.hub.errors import Unreachable
from synfill.hub.snapshot import CONFIG_FILES, REPO_ID, snapshot
from synfill.records import ModelInfo


@dataclass(frozen=True)
class GeneratorSettings:
    """What the user asked for; None is the model's own default.

    Attributes:
        model: Short name, local folder or Hub id.
        revision: Branch, tag or commit on the Hub.
        lora: Local .safetensors file, folder with one, or Hub id.
        steps: Denoising steps, at least 1.
        guidance_scale: Guidance, at least 0; up to 1 is without.
        size: (width, height) in pixels.
        scheduler: A name of `schedulers.SCHEDULERS`.
        dtype: "float32", "bfloat16", "float16", or "auto".
        device: "cuda", "cuda:1", "mps", "cpu", or "auto".
        compile: Compile the denoiser. Changes an image by rounding, as another GPU would.
        offload: Keep on the GPU only the part of the model that is at work.
        guidance_interval: (start, stop), the shares of the steps between which there is
            guidance; None for all of them.
    """

    model: str = DEFAULT_MODEL
    revision: str | None = None
    lora: str | None = None
    steps: int | None = None
    guidance_scale: float | None = None
    size: Size | None = None
    scheduler: str | None = None
    dtype: str | None = None
    device: str | None = None
    compile: bool = False
    offload: bool = False
    guidance_interval: Interval | None = None


@dataclass(frozen=True)
class ResolvedModel:
    """A generator with every setting known.

    Attributes:
        id: Hub id, or the local folder's name.
        source: What it is loaded from: the Hub id, or the folder's absolute path.
        revision: Commit, or fingerprint of the local files; "" if the Hub couldn't be reached.
        preset: Its short name; "" if it is no preset.
        pipeline: diffusers class; "" if the Hub couldn't be reached.
        family: A key of `presets.FAMILIES`.
        licence: Identifier, or "".
        is_local: Whether it is a local folder.
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

    id: str
    source: str
    revision: str
    preset: str
    pipeline: str
    family: str
    licence: str
    is_local: bool
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
        return ModelInfo(self.id, self.revision, self.pipeline, self.licence, self.is_local)

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
        family = FAMILIES[preset.family]
    defaults = preset or _defaults(settings.model, family, folder)
    scheduler = settings.scheduler or defaults.scheduler
    own_scheduler = folder.scheduler if folder else {}
    flow = is_flow_matching(own_scheduler) or is_flow_family(family.name)
    if scheduler is not None:
        check_scheduler(scheduler, name, own_scheduler, flow=flow)
    size = settings.size or defaults.size
    check_size(size, size_multiple(family, folder.vae if folder else {}), name)
    steps = defaults.steps if settings.steps is None else settings.steps
    guidance = defaults.guidance_scale
    if settings.guidance_scale is not None:
        guidance = settings.guidance_scale
    _check_numbers(steps, guidance)
    if settings.guidance_interval is not None:
        check_interval(settings.guidance_interval, guidance, steps, family.name, name)
    device = find_device(settings.device)
    if settings.offload and device == "cpu":
        raise UsageError(
            "--offload moves parts of the model between a GPU and main memory; here is no GPU.",
            "Leave --offload out.",
        )
    dtype = find_dtype(settings.dtype, device, _half(defaults.half, device, family))
    lora, lora_revision = _find_lora(settings.lora)
    path = folder.path if folder else None
    return ResolvedModel(
        id=path.name if is_local and path else name,
        source=str(path) if is_local else name,
        revision=_revision(path, is_local),
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
        negative_prompts=_takes_negative(defaults, family, guidance),
        max_sequence_length=defaults.max_sequence_length,
        dtype=dtype,
        device=device,
        variant=None if is_local or dtype == "float32" else defaults.variant,
        lora=lora,
        lora_revision=lora_revision,
        compile=settings.compile,
        offload=settings.offload,
        guidance_interval=settings.guidance_interval,
    )


def _preset(model: str) -> Preset | None:
    """The preset; a folder that has a preset's Hub id as its path wins over it."""
    if model not in short_names() and os.path.isdir(os.path.expanduser(model)):
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
            suggest(model, short_names(), "short names"),
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
    scheduler: Mapping[str, Any] = folder.scheduler if folder else {}
    turbo = is_turbo(Path(model).name, family, scheduler)
    return Preset(
        name="",
        model=model,
        family=family.name,
        steps=TURBO_STEPS if turbo else family.steps,
        guidance_scale=0.0 if turbo else family.guidance_scale,
        size=native_size(family, folder.denoiser if folder else {}, folder.vae if folder else {}),
        licence="",
        half="float16" if family.name == "sana" else "bfloat16",
        max_sequence_length=family.max_sequence_length,
        negative_prompts=not turbo,
    )


def _half(wanted: str, device: str, family: Family) -> str:
    """The 16-bit type on a GPU: bfloat16 needs one that has it, and not all models bear float16."""
    bears_float16 = family.name in ("sd", "sdxl")
    if wanted == "bfloat16" and bears_float16 and device.startswith("cuda"):
        return wanted if has_bfloat16(device) else "float16"
    return wanted


def _takes_negative(defaults: Preset, family: Family, guidance: float) -> bool:
    """FLUX has guidance in its weights and takes negative prompts whatever its scale is."""
    return defaults.negative_prompts if family.name == "flux" else guidance > 1


def _revision(path: Path | None, is_local: bool) -> str:
    if path is None:
        return ""
    return fingerprint_model(path) if is_local else path.name


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


def _check_numbers(steps: int, guidance: float) -> None:
    if steps < 1:
        raise UsageError(f"--steps must be at least 1, not {steps}.")
    if not 0 <= guidance <= 1000:
        raise UsageError(f"--guidance-scale must be 0 or more, not {guidance}.")


def _find_lora(lora: str | None) -> tuple[str, str]:
    """What a LoRA is loaded from and its revision; nothing is fetched but its commit."""
    if not lora:
        return "", ""
    path = Path(os.path.expanduser(lora))
    if os.path.exists(path):
        return str(path.resolve()), fingerprint_model(lora_file(path.resolve()))
    if not REPO_ID.fullmatch(lora):
        raise UsageError(
            f"There is no LoRA '{lora}': it is no file, no folder, and no Hub id (owner/name).",
            "Check the spelling.",
        )
    return lora, snapshot(lora, None, ["README.md"], "LoRA").name


def lora_file(path: Path) -> Path:
    """The one safetensors file of a LoRA.

    Args:
        path: The file, or a folder with it.

    Raises:
        UsageError: None in the folder, several, or a file of another kind.
    """
    if path.is_file():
        if path.suffix != ".safetensors":
            raise UsageError(
                f"The LoRA {path} is no .safetensors file; other files can run code when read.",
                "Convert it once where you trust it.",
            )
        return path
    files = sorted(path.glob("*.safetensors"))
    usual = path / "pytorch_lora_weights.safetensors"
    if usual in files:
        return usual
    if len(files) != 1:
        listed = ", ".join(file.name for file in files[:10]) or "none"
        raise UsageError(
            f"A LoRA folder must have one .safetensors file; in {path} there is: {listed}.",
            "Name the file itself.",
        )
    return files[0]
