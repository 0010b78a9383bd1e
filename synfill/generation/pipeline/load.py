"""Reads a pipeline's weights and puts it on its device; tells apart what can go wrong with them.

Safetensors only, no code from the model. diffusers and torch are imported inside the functions:
it takes seconds.
"""

from __future__ import annotations

import contextlib
import importlib.util
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from synfill.devices import is_out_of_memory
from synfill.errors import RunError, UsageError
from synfill.generation.models.families.family import find_family
from synfill.generation.models.folder import check_weights, read_model_folder
from synfill.generation.models.lora import lora_file
from synfill.generation.models.resolve import ResolvedModel
from synfill.generation.models.schedulers import build_scheduler
from synfill.hub.errors import explain_fetch
from synfill.hub.snapshot import CONFIG_FILES, fetch, snapshot


def load_pipeline(model: ResolvedModel, *, verbose: bool) -> tuple[Any, ResolvedModel]:
    """Load a pipeline with its scheduler and LoRA, ready to run.

    Args:
        model: What to load.
        verbose: Show progress and warnings of the libraries.

    Returns:
        The diffusers pipeline, and the model with what was only known once it was fetched.

    Raises:
        UsageError, RunError: See `generator.load_generator`.
    """
    with _quiet(verbose):
        folder = _weights_folder(model)
        found = read_model_folder(folder, model.id)
        variant = check_weights(found, model.id) or model.variant
        revision = model.revision or folder.name
        model = replace(model, pipeline=found.pipeline, revision=revision, variant=variant)
        _check_pipeline(model)
        pipe = _read(model, folder)
        if model.lora:
            _apply_lora(pipe, model)
        make_ready(pipe, model)
        pipe.set_progress_bar_config(disable=not verbose)
    return pipe, model


def make_ready(pipe: Any, model: ResolvedModel) -> None:
    """Give a pipeline its scheduler and put its parts on the device, as is fastest there.

    Args:
        pipe: The pipeline, wherever its parts are.
        model: Its settings.
    """
    if model.scheduler is not None:
        pipe.scheduler = build_scheduler(model.scheduler, pipe.scheduler, flow=model.flow)
    _place(pipe, model)


def _weights_folder(model: ResolvedModel) -> Path:
    """The folder with the weights, fetched where it must be."""
    if model.is_local:
        return Path(model.source)
    from diffusers import DiffusionPipeline

    # A preset is resolved without a commit when the Hub can't be reached; now it must be.
    revision = model.revision or snapshot(model.source, None, CONFIG_FILES, "model").name

    def download() -> Path:
        return Path(
            DiffusionPipeline.download(
                model.source, revision=revision, use_safetensors=True, variant=model.variant
            )
        )

    try:
        with explain_fetch(model.source, revision, "model"):
            return fetch(model.source, "model", download)
    except OSError as error:
        if "safetensors" not in str(error):
            raise RunError(
                f"The model {model.source} can't be fetched: {_first_line(error)}",
                "Check the connection and the room on the disk; then run the same command again.",
            ) from error
        raise UsageError(
            f"{model.source} has its weights only as pickle, which can run code when read.",
            "Choose a revision with safetensors (--revision), or another model.",
        ) from error
    except ValueError as error:
        if "trust_remote_code" not in str(error):
            raise
        raise UsageError(
            f"{model.source} brings code of its own, which is never run.",
            "Use a model that diffusers itself has the pipeline for.",
        ) from error


def _check_pipeline(model: ResolvedModel) -> None:
    """See that the installed diffusers has the class, and that it makes images from text."""
    import diffusers
    from diffusers.pipelines.auto_pipeline import (
        AUTO_TEXT2IMAGE_PIPELINES_MAPPING,
        _get_task_class,
    )

    if not hasattr(diffusers, model.pipeline):
        raise UsageError(
            f"{model.id} needs the pipeline {model.pipeline}, which diffusers "
            f"{diffusers.__version__} doesn't have.",
            "Try `pip install -U diffusers`.",
        )
    known = _get_task_class(
        AUTO_TEXT2IMAGE_PIPELINES_MAPPING, model.pipeline, throw_error_if_not_exist=False
    )
    if known is None:
        raise UsageError(
            f"{model.id} is a {model.pipeline}, which makes no images from text alone.",
            "Choose a text-to-image model, for example --model sd15.",
        )


def _read(model: ResolvedModel, folder: Path) -> Any:
    from diffusers import AutoPipelineForText2Image
    from safetensors import SafetensorError

    try:
        return AutoPipelineForText2Image.from_pretrained(
            folder,
            dtype=_dtypes(model),
            variant=model.variant,
            use_safetensors=True,
            local_files_only=True,
        )
    except ImportError as error:
        raise RunError(
            f"{model.id} needs a package that isn't installed: {_first_line(error)}",
            "Install it and run the same command again.",
        ) from error
    except (
        OSError, ValueError, TypeError, RuntimeError, AttributeError, LookupError, SafetensorError
    ) as error:  # fmt: skip
        raise RunError(
            f"{model.id} can't be loaded from {folder}: {_first_line(error)}",
            "Its files are damaged or incomplete: fetch or save the model again.",
        ) from error


def _dtypes(model: ResolvedModel) -> Any:
    """The number type of each part, as torch names it: one for all, or by part."""
    import torch

    types = find_family(model.family).part_types(model.dtype)
    if isinstance(types, str):
        return getattr(torch, types)
    return {part: getattr(torch, dtype) for part, dtype in types.items()}


def _apply_lora(pipe: Any, model: ResolvedModel) -> None:
    """Add a LoRA's differences to the weights, so that it costs nothing afterwards."""
    from safetensors import SafetensorError

    if importlib.util.find_spec("peft") is None:
        raise RunError("A LoRA needs the package peft.", "Install it: `pip install peft`.")
    if not hasattr(pipe, "load_lora_weights"):
        raise UsageError(f"{model.pipeline} takes no LoRA.", "Leave --lora out.")
    if model.lora_is_local:
        file = lora_file(Path(model.lora))
    else:
        file = lora_file(snapshot(model.lora, model.lora_revision, ["*.safetensors"], "LoRA"))
    misfit = UsageError(
        f"The LoRA {model.lora} doesn't fit {model.id} ({model.pipeline}).",
        "A LoRA fits only the model family that it was trained on.",
    )
    try:
        pipe.load_lora_weights(file.parent, weight_name=file.name)
        applied = pipe.get_list_adapters()
    except (OSError, SafetensorError) as error:
        raise RunError(
            f"The LoRA {file} is damaged: {_first_line(error)}", "Fetch it again."
        ) from error
    except (ValueError, RuntimeError, KeyError) as error:
        raise misfit from error
    if not any(applied.values()):
        raise misfit
    pipe.fuse_lora()
    pipe.unload_lora_weights()


def _place(pipe: Any, model: ResolvedModel) -> None:
    import torch

    denoiser = getattr(pipe, "unet", None) or getattr(pipe, "transformer", None)
    if model.device.startswith("cuda"):
        # Convolutions in 16 bits run on the matrix units without a change of layout.
        for part in (getattr(pipe, "unet", None), getattr(pipe, "vae", None)):
            if part is not None:
                part.to(memory_format=torch.channels_last)
    if model.offload:
        pipe.enable_model_cpu_offload(device=model.device)
        # Decoding a whole batch is what needs most; here memory is what counts.
        if hasattr(getattr(pipe, "vae", None), "enable_slicing"):
            pipe.vae.enable_slicing()
    else:
        try:
            pipe.to(model.device)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise RunError(
                f"There is not enough memory on {model.device} for {model.id}: "
                f"{_first_line(error)}",
                "Add --offload, take a smaller --model, or close what else uses the device.",
            ) from None
    if model.compile and denoiser is not None:
        denoiser.compile(dynamic=False)


@contextlib.contextmanager
def _quiet(verbose: bool) -> Iterator[None]:
    """Silence the progress bars and warnings of diffusers and transformers.

    Their verbosity stays low for the rest of the process: both log while images are made too.
    """
    if verbose:
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import diffusers
        import transformers

        for library in (diffusers.utils.logging, transformers.utils.logging):
            library.set_verbosity_error()
            library.disable_progress_bar()
        yield


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
