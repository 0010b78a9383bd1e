"""Trains a small, real StableDiffusionPipeline on a labelled dataset, and writes its folder.

    python benchmarks/text_to_image.py demo OUT --group ink

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
import csv
import io
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from numpy.typing import NDArray
from PIL import Image
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from synfill.balancing.prompts import DEFAULT_MODIFIERS, PromptBook, PromptWriter
from synfill.data.source import Source
from synfill.records import Cell


@dataclass(frozen=True)
class Settings:
    """Everything that decides what comes out. docs/demo.md has the command for the demo's model.

    Attributes:
        source: SOURCE as synfill reads it.
        split: The split; "" for the first.
        label: The class column.
        groups: The group columns that captions name.
        templates: Prompt templates beside the tool's default, with {label} and every group column;
            for captions without groups they are cut at their first comma.
        modifier_share: Share of captions that end in one of the tool's photographic modifiers,
            which the images don't show: so the model learns to pass over them.
        class_only_share: Share of captions without the groups' words.
        empty_share: Share of empty captions.
        size: Width and height of an image in pixels.
        latent_channels: Channels of the latents.
        autoencoder_widths: Channels of each level; every level after the first halves the size.
        autoencoder_groups: Groups of its group norms.
        kl_weight: Weight of the KL term (mean over latents) beside the mean squared error.
        text_width: Width of the text encoder.
        text_layers: Layers of the text encoder.
        text_length: Longest prompt in tokens, begin and end included.
        unet_widths: Channels of each level.
        unet_attention: Whether a level has attention, 1 or 0 each.
        unet_groups: Groups of its group norms.
        unet_layers: Residual blocks a level.
        autoencoder_steps: Steps of stage 1.
        autoencoder_batch: Images a step.
        autoencoder_rate: Largest learning rate; it warms up, then falls to 0 as a cosine.
        decoder_steps: Further steps of the decoder alone.
        decoder_rate: Largest learning rate of these, likewise.
        steps: Steps of stage 2.
        batch: Images a step.
        rate: Largest learning rate, likewise.
        average: Decay of the moving average of the weights.
        seed: Seed of everything.
    """

    source: str
    split: str = ""
    label: str = "label"
    groups: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    modifier_share: float = 0.1
    class_only_share: float = 0.5
    empty_share: float = 0.1
    size: int = 32
    latent_channels: int = 4
    autoencoder_widths: tuple[int, ...] = (16, 32, 48)
    autoencoder_groups: int = 8
    kl_weight: float = 2e-4
    text_width: int = 64
    text_layers: int = 2
    text_length: int = 32
    unet_widths: tuple[int, ...] = (64, 88)
    unet_attention: tuple[int, ...] = (0, 1)
    unet_groups: int = 8
    unet_layers: int = 1
    autoencoder_steps: int = 800
    autoencoder_batch: int = 64
    autoencoder_rate: float = 2e-3
    decoder_steps: int = 1000
    decoder_rate: float = 1e-3
    steps: int = 1500
    batch: int = 128
    rate: float = 1e-3
    average: float = 0.999
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Pictures:
    """A dataset in memory.

    Attributes:
        pixels: uint8, shape (images, 3, size, size), 0..255.
        cells: Every cell that occurs.
        cell_of: int64, shape (images,): the position of an image's cell in `cells`.
    """

    pixels: Tensor
    cells: tuple[Cell, ...]
    cell_of: Tensor


@dataclass(frozen=True, eq=False)
class Captions:
    """The captions of a cell, by token; captions are drawn with equal chance.

    Attributes:
        full: For each cell, captions with the groups' words: int64, shape (captions, length).
        class_only: Likewise without them.
        empty: The empty caption: int64, shape (length,).
    """

    full: tuple[Tensor, ...]
    class_only: tuple[Tensor, ...]
    empty: Tensor


Losses = list[tuple[str, int, float]]
"""(stage, step, loss) of every step."""


# ---------------------------------------------------------------- data


def open_pictures(settings: Settings) -> Pictures:
    """Reads the dataset and scales its images to a square."""
    source: Source
    if settings.source == "demo":
        from synfill.data.sources.demo import DemoSource

        source = DemoSource().pool()
    else:
        from synfill.data.source import open_source

        source = open_source(settings.source)
    split = settings.split or source.splits[0]
    image = next(column.name for column in source.columns if column.kind == "image")
    columns = {column.name: column for column in source.columns}

    def read_names(name: str) -> list[str | None]:
        values = source.read_column(split, name).to_pylist()
        names = columns[name].class_names
        missing = (None, -1) if names else (None,)
        return [
            None if value in missing else names[value] if names else str(value) for value in values
        ]

    labels = read_names(settings.label)
    groups = [read_names(column) for column in settings.groups]
    of_row = {
        row: Cell(label, tuple(zip(settings.groups, values, strict=True)))
        for row, (label, *values) in enumerate(zip(labels, *groups, strict=True))
        if None not in (label, *values)
    }
    # In the columns' own order (a ClassLabel's), not by name.
    order = {
        name: {value: place for place, value in enumerate(columns[name].class_names)}
        for name in (settings.label, *settings.groups)
    }
    cells = sorted(
        set(of_row.values()),
        key=lambda cell: (
            order[settings.label].get(cell.label, 0),
            cell.label,
            *((order[name].get(value, 0), value) for name, value in cell.groups),
        ),
    )
    place = {cell: position for position, cell in enumerate(cells)}
    pixels, rows = [], []
    for numbers, batch in source.iter_rows(split):
        for row, entry in zip(numbers, batch[image].to_pylist(), strict=True):
            if int(row) not in of_row or entry is None or entry["bytes"] is None:
                continue
            pixels.append(scale_picture(entry["bytes"], settings.size))
            rows.append(int(row))
    stacked = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous()
    return Pictures(stacked, tuple(cells), torch.tensor([place[of_row[row]] for row in rows]))


def scale_picture(content: bytes, size: int) -> NDArray[np.uint8]:
    """The middle square of an image: RGB, shape (size, size, 3), 0..255."""
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    if picture.size != (size, size):
        short = min(picture.size)
        left, top = (picture.width - short) // 2, (picture.height - short) // 2
        box = (left, top, left + short, top + short)
        picture = picture.resize((size, size), Image.Resampling.LANCZOS, box)
    return np.asarray(picture)


def write_captions(settings: Settings, cells: tuple[Cell, ...]) -> tuple[list[list[str]], ...]:
    """The captions of every cell: (with the groups' words, without them).

    The default prompt stands as often as all other templates together.
    """
    labels = list(dict.fromkeys(cell.label for cell in cells))

    def write(columns: tuple[str, ...], templates: tuple[str, ...]) -> list[list[str]]:
        found: list[list[str]] = []
        default = PromptWriter(PromptBook(), columns, labels)
        others = PromptWriter(PromptBook(templates=templates), columns, labels)
        for cell in cells:
            own = Cell(cell.label, tuple(pair for pair in cell.groups if pair[0] in columns))
            found.append([default.write(own, 0)] * max(len(templates), 1))
            found[-1] += [others.write(own, turn) for turn in range(len(templates))]
        return found

    bare = tuple(dict.fromkeys(template.split(",")[0] for template in settings.templates))
    if not settings.groups:
        return write((), bare), write((), bare)
    return write(settings.groups, settings.templates), write((), bare)


# ---------------------------------------------------------------- models


def build_tokenizer(texts: Iterable[str], length: int) -> CLIPTokenizer:
    """A CLIP tokenizer in which every word of the texts is one token; others are spelt out."""
    begin, end = "<|startoftext|>", "<|endoftext|>"
    backend = CLIPTokenizer().backend_tokenizer
    trainer = BpeTrainer(
        vocab_size=20_000,
        min_frequency=1,
        initial_alphabet=ByteLevel.alphabet(),
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    backend.train_from_iterator(sorted(set(texts)), trainer)
    model = json.loads(backend.to_str())["model"]
    letters = sorted(ByteLevel.alphabet())
    # In CLIP's order: bytes, bytes that end a word, merges, begin and end.
    tokens = letters + [letter + "</w>" for letter in letters]
    known = set(tokens)
    learned = sorted(model["vocab"], key=model["vocab"].get)
    tokens += [token for token in learned if token not in known | {begin, end}] + [begin, end]
    return CLIPTokenizer(
        vocab={token: number for number, token in enumerate(tokens)},
        merges=[tuple(pair) for pair in model["merges"]],
        model_max_length=length,
    )


def build_autoencoder(settings: Settings) -> AutoencoderKL:
    """The autoencoder; its latents' scale is set when it is trained."""
    widths = settings.autoencoder_widths
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        block_out_channels=widths,
        layers_per_block=1,
        latent_channels=settings.latent_channels,
        norm_num_groups=settings.autoencoder_groups,
        sample_size=settings.size,
    )


def build_text_encoder(settings: Settings, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """The text encoder."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=settings.text_width,
            intermediate_size=4 * settings.text_width,
            projection_dim=settings.text_width,
            num_hidden_layers=settings.text_layers,
            num_attention_heads=4,
            max_position_embeddings=settings.text_length,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def build_unet(settings: Settings) -> UNet2DConditionModel:
    """The denoiser."""
    widths, attention = settings.unet_widths, settings.unet_attention
    down = ["CrossAttnDownBlock2D" if has else "DownBlock2D" for has in attention]
    up = ["CrossAttnUpBlock2D" if has else "UpBlock2D" for has in reversed(attention)]
    return UNet2DConditionModel(
        sample_size=settings.size // 2 ** (len(settings.autoencoder_widths) - 1),
        in_channels=settings.latent_channels,
        out_channels=settings.latent_channels,
        down_block_types=tuple(down),
        up_block_types=tuple(up),
        block_out_channels=widths,
        layers_per_block=settings.unet_layers,
        cross_attention_dim=settings.text_width,
        attention_head_dim=4,
        norm_num_groups=settings.unet_groups,
    )


def build_noise() -> DDPMScheduler:
    """Stable Diffusion's noise; the model says the velocity, which a small one learns well."""
    return DDPMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        steps_offset=1,
        prediction_type="v_prediction",
    )


# ---------------------------------------------------------------- training


class Average(nn.Module):
    """A moving average of a model's weights; young averages forget faster."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.weights = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Takes the weights after a step into the average."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                self.weights[name].lerp_(value, share)


def train(
    stage: str,
    model: nn.Module,
    compute_loss: Callable[[torch.Generator], Tensor],
    steps: int,
    rate: float,
    settings: Settings,
    work: Path,
    save_every: int,
    show: Callable[[int], None] | None = None,
) -> Losses:
    """Trains a model, leaves the averaged weights in it; goes on from its checkpoint.

    Args:
        stage: Its name, for the checkpoint and the log.
        model: What is trained, on its device.
        compute_loss: The loss of one batch; takes the step's own generator (CPU).
        steps: Steps in all.
        rate: Largest learning rate.
        settings: Seed and decay of the average.
        work: Where the checkpoint is.
        save_every: Steps from checkpoint to checkpoint.
        show: Called after each checkpoint with the averaged weights in the model.
    """
    path = work / f"{stage}.pt"
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-4)
    average = Average(model, settings.average)
    losses: Losses = []
    done = 0
    if path.exists():
        state = torch.load(path, map_location=next(model.parameters()).device, weights_only=True)
        model.load_state_dict(state["model"])
        average.weights = state["average"]
        optimizer.load_state_dict(state["optimizer"])
        losses, done = [(stage, number, loss) for number, loss in state["losses"]], state["done"]
    warm_up = min(100, steps // 10)
    begun = time.perf_counter()
    model.train()
    for step in range(done, steps):
        falling = 0.5 * (1 + math.cos(math.pi * max(0, step - warm_up) / max(1, steps - warm_up)))
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / max(1, warm_up)) * falling
        # A seed a step: a resumed run draws what an uninterrupted one would have drawn.
        generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
        loss = compute_loss(generator)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        average.update(model, step)
        losses.append((stage, step + 1, float(loss.detach())))
        if (step + 1) % 50 == 0:
            recent = sum(entry[2] for entry in losses[-50:]) / 50
            pace = (time.perf_counter() - begun) / (step + 1 - done)
            print(f"{stage} {step + 1}/{steps} loss {recent:.5f} {pace:.2f} s/step", flush=True)
        if (step + 1) % save_every == 0 or step + 1 == steps:
            state = {
                "model": model.state_dict(),
                "average": average.weights,
                "optimizer": optimizer.state_dict(),
                "losses": [(number, loss_value) for _, number, loss_value in losses],
                "done": step + 1,
            }
            torch.save(state, path.with_suffix(".tmp"))
            os.replace(path.with_suffix(".tmp"), path)
            if show is not None:
                current = {name: value.clone() for name, value in model.state_dict().items()}
                model.load_state_dict(average.weights)
                show(step + 1)
                model.load_state_dict(current)
                model.train()
    model.load_state_dict(average.weights)
    model.eval()
    return losses


def to_range(pixels: Tensor) -> Tensor:
    """uint8 0..255 -> float -1..1."""
    return pixels.float() / 127.5 - 1


def train_autoencoder(
    settings: Settings, pictures: Pictures, device: str, work: Path, save_every: int
) -> tuple[AutoencoderKL, Losses]:
    """Stage 1."""
    torch.manual_seed(settings.seed)
    model = build_autoencoder(settings).to(device)
    count = len(pictures.pixels)

    def compute_loss(generator: torch.Generator) -> Tensor:
        chosen = torch.randint(count, (settings.autoencoder_batch,), generator=generator)
        images = to_range(pictures.pixels[chosen]).to(device)
        latents = model.encode(images).latent_dist
        noise = torch.randn(latents.mean.shape, generator=generator).to(device)
        made = model.decode(latents.mean + latents.std * noise).sample
        divergence = 0.5 * (latents.mean**2 + latents.var - 1 - latents.logvar).mean()
        return nn.functional.mse_loss(made, images) + settings.kl_weight * divergence

    losses = train(
        "autoencoder",
        model,
        compute_loss,
        settings.autoencoder_steps,
        settings.autoencoder_rate,
        settings,
        work,
        save_every,
    )
    return model, losses


@torch.no_grad()
def encode_pictures(model: AutoencoderKL, pictures: Pictures, device: str) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of every image's latents; sets the model's scaling factor.

    Returns:
        Two of shape (images, channels, height, width), scaled: together they have a standard
        deviation of 1.
    """
    means, deviations = [], []
    for pixels in pictures.pixels.split(256):
        latents = model.encode(to_range(pixels).to(device)).latent_dist
        means.append(latents.mean.cpu())
        deviations.append(latents.std.cpu())
    mean, deviation = torch.cat(means), torch.cat(deviations)
    scale = float(1 / torch.sqrt(mean.var() + (deviation**2).mean()))
    model.register_to_config(scaling_factor=scale)
    error = measure_error(model, pictures, device)
    print(f"autoencoder: mean squared error {error:.5f}, scaling factor {scale:.4f}", flush=True)
    return mean * scale, deviation * scale


@torch.no_grad()
def measure_error(model: AutoencoderKL, pictures: Pictures, device: str) -> float:
    """Mean squared error of all images, encoded and decoded, as -1..1."""
    total = 0.0
    for pixels in pictures.pixels.split(256):
        images = to_range(pixels).to(device)
        made = model.decode(model.encode(images).latent_dist.mean).sample
        total += float(((made - images) ** 2).mean()) * len(pixels)
    return total / len(pictures.pixels)


class Decoder(nn.Module):
    """What an autoencoder decodes with."""

    def __init__(self, autoencoder: AutoencoderKL) -> None:
        super().__init__()
        self.post_quant_conv = autoencoder.post_quant_conv
        self.decoder = autoencoder.decoder

    def forward(self, latents: Tensor) -> Tensor:
        """Images, -1..1, of latents that aren't scaled."""
        return self.decoder(self.post_quant_conv(latents))


def train_decoder(
    settings: Settings,
    autoencoder: AutoencoderKL,
    pictures: Pictures,
    latents: tuple[Tensor, Tensor],
    device: str,
    work: Path,
    save_every: int,
) -> Losses:
    """The rest of stage 1: the decoder alone, on latents (as encode_pictures gives them)."""
    mean, deviation = (part / autoencoder.config.scaling_factor for part in latents)

    decoder = Decoder(autoencoder)

    def compute_loss(generator: torch.Generator) -> Tensor:
        chosen = torch.randint(len(mean), (settings.autoencoder_batch,), generator=generator)
        noise = torch.randn(mean[chosen].shape, generator=generator)
        made = decoder((mean[chosen] + deviation[chosen] * noise).to(device))
        return nn.functional.mse_loss(made, to_range(pictures.pixels[chosen]).to(device))

    return train(
        "decoder",
        decoder,
        compute_loss,
        settings.decoder_steps,
        settings.decoder_rate,
        settings,
        work,
        save_every,
    )


class Denoiser(nn.Module):
    """UNet and text encoder, which are trained together."""

    def __init__(self, unet: UNet2DConditionModel, text_encoder: CLIPTextModel) -> None:
        super().__init__()
        self.unet = unet
        self.text_encoder = text_encoder

    def forward(self, noisy: Tensor, times: Tensor, tokens: Tensor) -> Tensor:
        """The velocity: shape as `noisy` (batch, channels, height, width)."""
        words = self.text_encoder(tokens)[0]
        return self.unet(noisy, times, words).sample


def draw_captions(
    captions: Captions, cells: Tensor, settings: Settings, generator: torch.Generator
) -> Tensor:
    """One caption an image: int64, shape (images, length)."""
    kind = torch.rand(len(cells), generator=generator).tolist()
    which = torch.rand(len(cells), generator=generator).tolist()
    class_only = settings.empty_share + (1 - settings.empty_share) * settings.class_only_share
    drawn = []
    for cell, share, turn in zip(cells.tolist(), kind, which, strict=True):
        if share < settings.empty_share:
            drawn.append(captions.empty)
            continue
        options = captions.class_only[cell] if share < class_only else captions.full[cell]
        drawn.append(options[int(turn * len(options))])
    return torch.stack(drawn)


def tokenize(tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
    """int64, shape (texts, length)."""
    return tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids


def with_modifiers(texts: list[str], share: float) -> list[str]:
    """The texts, repeated so that a share of them ends in a modifier, every modifier once."""
    if not share:
        return texts
    extra = len(DEFAULT_MODIFIERS)
    times = max(1, round(extra * (1 - share) / share / len(texts)))
    endings = [
        f"{texts[number % len(texts)]}, {modifier}"
        for number, modifier in enumerate(DEFAULT_MODIFIERS)
    ]
    return texts * times + endings


def make_pipeline(
    settings: Settings,
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


# ---------------------------------------------------------------- pictures


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


# ---------------------------------------------------------------- the whole


def run(settings: Settings, out: Path, device: str, save_every: int, half: bool) -> None:
    """Trains both stages and writes the folder and what stands beside it."""
    work = out.with_name(out.name + ".work")
    work.mkdir(parents=True, exist_ok=True)
    described = json.dumps(asdict(settings), indent=2) + "\n"
    kept = work / "settings.json"
    if kept.exists() and kept.read_text() != described:
        raise SystemExit(
            f"{work} holds progress under other settings: remove it, or name another OUT"
        )
    kept.write_text(described)

    pictures = open_pictures(settings)
    print(f"{len(pictures.pixels)} images, {len(pictures.cells)} cells, on {device}", flush=True)
    full, class_only = write_captions(settings, pictures.cells)
    full = [with_modifiers(texts, settings.modifier_share) for texts in full]
    class_only = [with_modifiers(texts, settings.modifier_share) for texts in class_only]
    tokenizer = build_tokenizer(
        [text for part in full + class_only for text in part], settings.text_length
    )
    captions = Captions(
        tuple(tokenize(tokenizer, texts) for texts in full),
        tuple(tokenize(tokenizer, texts) for texts in class_only),
        tokenize(tokenizer, [""])[0],
    )

    vae, losses = train_autoencoder(settings, pictures, device, work, save_every)
    mean, deviation = encode_pictures(vae, pictures, device)
    losses += train_decoder(settings, vae, pictures, (mean, deviation), device, work, save_every)
    print(f"decoder: mean squared error {measure_error(vae, pictures, device):.5f}", flush=True)

    torch.manual_seed(settings.seed)
    denoiser = Denoiser(build_unet(settings), build_text_encoder(settings, tokenizer)).to(device)
    parts = {"autoencoder": vae, "unet": denoiser.unet, "text encoder": denoiser.text_encoder}
    for name, part in parts.items():
        print(f"{name}: {sum(value.numel() for value in part.parameters()):,} weights", flush=True)
    noise_schedule = build_noise()

    def compute_loss(generator: torch.Generator) -> Tensor:
        chosen = torch.randint(len(mean), (settings.batch,), generator=generator)
        clean = mean[chosen]
        clean = clean + deviation[chosen] * torch.randn(clean.shape, generator=generator)
        noise = torch.randn(clean.shape, generator=generator)
        times = torch.randint(1000, (settings.batch,), generator=generator)
        tokens = draw_captions(captions, pictures.cell_of[chosen], settings, generator)
        noisy = noise_schedule.add_noise(clean, noise, times)
        wanted = noise_schedule.get_velocity(clean, noise, times)
        said = denoiser(noisy.to(device), times.to(device), tokens.to(device))
        return nn.functional.mse_loss(said, wanted.to(device))

    labels = list(dict.fromkeys(cell.label for cell in pictures.cells))
    writer = PromptWriter(PromptBook(), settings.groups, labels)

    def show(step: int) -> None:
        denoiser.eval()
        pipeline = make_pipeline(settings, vae, denoiser.text_encoder, tokenizer, denoiser.unet)
        draw_grid(
            pipeline,
            pictures.cells,
            lambda cell: writer.write(cell, 0),
            work / f"samples-{step:06d}.png",
        )

    losses += train(
        "denoiser",
        denoiser,
        compute_loss,
        settings.steps,
        settings.rate,
        settings,
        work,
        save_every,
        show,
    )
    pipeline = make_pipeline(settings, vae, denoiser.text_encoder, tokenizer, denoiser.unet)
    draw_grid(
        pipeline,
        pictures.cells,
        lambda cell: writer.write(cell, 0),
        out.with_name(out.name + ".samples.png"),
    )
    draw_losses(
        losses, out.with_name(out.name + ".losses.csv"), out.with_name(out.name + ".losses.png")
    )
    out.with_name(out.name + ".settings.json").write_text(described)
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
    run(settings, given["out"], given["device"], given["save_every"], given["half"])


if __name__ == "__main__":
    main()
