"""The trained parts as a pipeline folder, and pictures of what it makes."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DPMSolverMultistepScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from PIL import Image
from transformers import CLIPTextModel, CLIPTokenizer

from benchmarks.text_to_image.loop import Losses
from benchmarks.text_to_image.networks import build_noise
from synfill.records import Cell


def make_pipeline(
    vae: AutoencoderKL,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    unet: UNet2DConditionModel,
) -> StableDiffusionPipeline:
    """The whole pipeline, with the solver that makes good images in few steps."""
    scheduler = DPMSolverMultistepScheduler.from_config(
        build_noise().config, algorithm_type="dpmsolver++", solver_order=2
    )
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def save_pipeline(pipeline: StableDiffusionPipeline, folder: Path, half: bool) -> None:
    """Writes the folder; with `half` the weights are float16, which any loader may widen."""
    if folder.exists():
        shutil.rmtree(folder)
    for part in (pipeline.vae, pipeline.unet, pipeline.text_encoder):
        part.to(torch.float16 if half else torch.float32)
    # Else the file tells what it was last asked for.
    pipeline.tokenizer.backend_tokenizer.no_padding()
    pipeline.tokenizer.backend_tokenizer.no_truncation()
    pipeline.save_pretrained(folder, safe_serialization=True)
    # transformers loads a model in the type that its config names. A CPU wants float32.
    path = folder / "text_encoder" / "config.json"
    config = json.loads(path.read_text())
    config["dtype"] = "float32"
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    for weights in folder.rglob("*.safetensors"):
        weights.chmod(0o644)  # some writers keep them to their owner
    # Folders as "_name_or_path" say where it was made, not what it is.
    for part_config in folder.glob("*/config.json"):
        content = json.loads(part_config.read_text())
        content.pop("_name_or_path", None)
        part_config.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")


def draw_grid(
    pipeline: StableDiffusionPipeline,
    cells: tuple[Cell, ...],
    write: Callable[[Cell], str],
    path: Path,
    steps: int = 12,
    guidance: float = 2.0,
) -> None:
    """Samples as a picture: a class a column (10 at most), group values below each other."""
    labels = list(dict.fromkeys(cell.label for cell in cells))[:10]
    columns = [[cell for cell in cells if cell.label == label][:4] for label in labels]
    height = max(len(column) for column in columns)
    repeats = max(1, 8 // height)
    shown = [column[row % len(column)] for row in range(height * repeats) for column in columns]
    images = pipeline(
        [write(cell) for cell in shown],
        num_inference_steps=steps,
        guidance_scale=guidance,
        generator=[torch.Generator().manual_seed(number) for number in range(len(shown))],
        output_type="np",
    ).images
    _, size, _, depth = images.shape
    sheet = images.reshape(-1, len(labels), size, size, depth).transpose(0, 2, 1, 3, 4)
    sheet = sheet.reshape(-1, len(labels) * size, depth)
    picture = Image.fromarray((sheet * 255).round().astype(np.uint8))
    zoom = max(1, 640 // picture.width)
    picture = picture.resize(
        (picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST
    )
    picture.save(path, optimize=True)


def draw_losses(losses: Losses, table: Path, picture: Path) -> None:
    """The losses as a table (means of 25 steps) and as curves."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    window = 25
    stages = list(dict.fromkeys(stage for stage, _, _ in losses))
    figure, axes = pyplot.subplots(1, len(stages), figsize=(4.5 * len(stages), 3), squeeze=False)
    with table.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["stage", "step", "loss"])
        for stage, axis in zip(stages, axes[0], strict=True):
            own = [(step, loss) for name, step, loss in losses if name == stage]
            points = [own[start : start + window] for start in range(0, len(own), window)]
            at = [part[-1][0] for part in points]
            mean = [sum(loss for _, loss in part) / len(part) for part in points]
            writer.writerows(
                (stage, step, f"{loss:.6f}") for step, loss in zip(at, mean, strict=True)
            )
            axis.plot(at, mean)
            axis.set(title=stage, xlabel="step", ylabel="loss", yscale="log")
            axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(picture, dpi=100)
    pyplot.close(figure)
