"""Trains a small, real StableDiffusionPipeline on a labelled dataset, and writes its folder.

    python -m benchmarks.text_to_image demo OUT --group ink

Takes a SOURCE as synfill reads it (`demo` stands for the demo's whole pool, in all inks) and gives
a pipeline folder that `AutoPipelineForText2Image.from_pretrained` loads: AutoencoderKL, CLIP text
encoder and tokenizer, UNet. Beside it come the loss curve (OUT.losses.csv, OUT.losses.png), a
sample grid (OUT.samples.png) and the settings (OUT.settings.json). Two stages:

1. the autoencoder; then every image is encoded once, and the diffusion model never sees a pixel.
   Its decoder learns on alone from these latents: what is left after the first part is mostly a
   dark pixel in the corners, the same in every image, by which a classifier could tell them;
2. the UNet together with the text encoder, on captions written by the tool's own prompt writer,
   half of them without the groups' words; some are empty, for classifier-free guidance.

What is under OUT.work is progress: the same command goes on where it was killed, and gives what an
uninterrupted run gives, since every step has a seed of its own. Runs on a CPU or a GPU. It knows
nothing of any dataset: sizes and widths are settings. Good for small images of a few hundred
classes at most; it isn't a way to a model of the world.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline

from benchmarks.text_to_image.autoencoder import (
    encode_pictures,
    measure_error,
    train_autoencoder,
    train_decoder,
)
from benchmarks.text_to_image.captions import make_captions
from benchmarks.text_to_image.denoiser import build_denoiser, train_denoiser
from benchmarks.text_to_image.loop import Session
from benchmarks.text_to_image.pictures import open_pictures
from benchmarks.text_to_image.pipeline import draw_grid, draw_losses, make_pipeline, save_pipeline
from benchmarks.text_to_image.settings import Settings
from synfill.balancing.prompts import PromptBook, PromptWriter


def open_work(out: Path, settings: Settings) -> Path:
    """The folder of the work in progress: OUT.work."""
    work = out.with_name(out.name + ".work")
    work.mkdir(parents=True, exist_ok=True)
    kept = work / "settings.json"
    if kept.exists() and kept.read_text() != as_json(settings):
        raise SystemExit(
            f"{work} holds progress under other settings: remove it, or name another OUT"
        )
    kept.write_text(as_json(settings))
    return work


def as_json(settings: Settings) -> str:
    """The settings as OUT.settings.json has them."""
    return json.dumps(asdict(settings), indent=2) + "\n"


def make_model(session: Session, out: Path, half: bool) -> None:
    """Trains both stages and writes the folder and what stands beside it."""
    settings = session.settings
    pictures = open_pictures(settings)
    print(
        f"{len(pictures.pixels)} images, {len(pictures.cells)} cells, on {session.device}",
        flush=True,
    )
    tokenizer, captions = make_captions(settings, pictures.cells)

    vae, losses = train_autoencoder(session, pictures)
    latents = encode_pictures(vae, pictures, session.device)
    losses += train_decoder(session, vae, pictures, latents)
    error = measure_error(vae, pictures, session.device)
    print(f"decoder: mean squared error {error:.5f}", flush=True)

    denoiser = build_denoiser(session, tokenizer)
    parts = {"autoencoder": vae, "unet": denoiser.unet, "text encoder": denoiser.text_encoder}
    for name, part in parts.items():
        print(f"{name}: {sum(value.numel() for value in part.parameters()):,} weights", flush=True)
    labels = list(dict.fromkeys(cell.label for cell in pictures.cells))
    writer = PromptWriter(PromptBook(), settings.groups, labels)

    def draw(path: Path) -> StableDiffusionPipeline:
        pipeline = make_pipeline(vae, denoiser.text_encoder, tokenizer, denoiser.unet)
        draw_grid(pipeline, pictures.cells, lambda cell: writer.write(cell, 0), path)
        return pipeline

    def show(step: int) -> None:
        denoiser.eval()
        draw(session.work / f"samples-{step:06d}.png")

    losses += train_denoiser(session, denoiser, pictures, latents, captions, show)
    pipeline = draw(out.with_name(out.name + ".samples.png"))
    draw_losses(
        losses, out.with_name(out.name + ".losses.csv"), out.with_name(out.name + ".losses.png")
    )
    out.with_name(out.name + ".settings.json").write_text(as_json(settings))
    save_pipeline(pipeline.to("cpu"), out, half)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"{out}: {size:,} bytes", flush=True)


def main() -> None:
    """Reads the arguments: a setting is an option of the same name."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("source", help="SOURCE as synfill reads it; 'demo' is the demo's pool")
    parser.add_argument("out", type=Path, help="the pipeline folder to write")
    parser.add_argument("--group", action="append", default=[], help="a group column; may repeat")
    parser.add_argument(
        "--template", action="append", default=[], help="a prompt template; likewise"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--save-every", type=int, default=250, help="steps between checkpoints")
    parser.add_argument("--half", action="store_true", help="write float16 weights")
    defaults = Settings(source="")
    simple = {
        name: value
        for name, value in asdict(defaults).items()
        if name not in ("source", "groups", "templates")
    }
    for name, value in simple.items():
        kind: dict[str, Any] = {"type": type(value)}
        if isinstance(value, tuple):
            kind = {"type": int, "nargs": "+"}
        parser.add_argument("--" + name.replace("_", "-"), default=value, **kind)
    given = vars(parser.parse_args())
    settings = Settings(
        source=given["source"],
        groups=tuple(given["group"]),
        templates=tuple(given["template"]),
        **{
            name: tuple(given[name]) if isinstance(value, tuple) else given[name]
            for name, value in simple.items()
        },
    )
    out = given["out"]
    session = Session(settings, given["device"], open_work(out, settings), given["save_every"])
    make_model(session, out, given["half"])


if __name__ == "__main__":
    main()
