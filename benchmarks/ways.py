"""The ways to make images that generate.py compares, each for so many images at a time."""

from __future__ import annotations

import io
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from synfill.generation.fill.encode import encode
from synfill.generation.fill.fill import fill
from synfill.generation.fill.local import LocalEngine
from synfill.generation.fill.store import ShardStore
from synfill.generation.fill.task import FillTask
from synfill.generation.models.families.family import find_family
from synfill.generation.models.resolve import ResolvedModel
from synfill.generation.pipeline.generator import Generator
from synfill.quality.check import Facts
from synfill.quality.judge import Checks
from synfill.records import Cell, ImageProfile, Request
from synfill.runs.shard import shard_size

DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
PROMPTS = [f"a photo of a {digit}{where}" for digit in DIGITS for where in ("", ", close-up")]


def requests(images: int) -> list[Request]:
    """A plan of so many images."""
    return [
        Request(number, Cell(str(number % 10)), PROMPTS[number % len(PROMPTS)], "", number)
        for number in range(images)
    ]


class Network:
    """(a) The network alone: its denoiser's calls for all steps, and its decoder's for one batch.

    Args:
        pipe: A Stable Diffusion or SDXL pipeline on its device.
        model: Its settings.
        batch: Images at a time; guidance doubles what the denoiser sees.
    """

    def __init__(self, pipe: Any, model: ResolvedModel, batch: int) -> None:
        rows = batch * (2 if model.guidance_scale > 1 else 1)
        device, dtype = model.device, getattr(torch, model.dtype)
        factor = 2 ** (len(pipe.vae.config.block_out_channels) - 1)
        width, height = (side // factor for side in model.size)
        shape = (rows, pipe.unet.config.in_channels, height, width)
        with torch.inference_mode():
            found = find_family(model.family).encode(pipe, model, PROMPTS[0], "")
            self._latents = torch.randn(shape, device=device, dtype=dtype)
            self._call: dict[str, Any] = {
                "encoder_hidden_states": found["prompt_embeds"].repeat(rows, 1, 1)
            }
            if "pooled_prompt_embeds" in found:
                self._call["added_cond_kwargs"] = {
                    "text_embeds": found["pooled_prompt_embeds"].repeat(rows, 1),
                    "time_ids": torch.zeros(rows, 6, device=device, dtype=dtype),
                }
        pipe.scheduler.set_timesteps(model.steps, device=device)
        self._timesteps = pipe.scheduler.timesteps
        self._pipe = pipe
        self._batch = batch

    def call(self, step: int = 0) -> None:
        """One call of the denoiser."""
        self._pipe.unet(self._latents, self._timesteps[step], **self._call, return_dict=False)

    def decode(self) -> None:
        """One call of the decoder."""
        self._pipe.vae.decode(self._latents[: self._batch], return_dict=False)

    def run(self) -> None:
        """All of one batch."""
        with torch.inference_mode():
            for step in range(len(self._timesteps)):
                self.call(step)
            self.decode()


def plain_loop(pipe: Any, model: ResolvedModel, batch: int, images: int, form: str) -> None:
    """(b), (c) diffusers' own call in a loop that saves each image before it makes the next.

    Args:
        pipe: A pipeline as it is loaded.
        model: Settings for steps, guidance, size and device.
        batch: Images a call.
        images: How many, a multiple of `batch`.
        form: "jpeg" or "png".
    """
    with tempfile.TemporaryDirectory() as folder:
        for first in range(0, images, batch):
            made = _call_plainly(pipe, model, first, batch, model.steps)
            for number, image in enumerate(made, start=first):
                image.save(Path(folder, f"{number}.{form}"))


def _call_plainly(pipe: Any, model: ResolvedModel, first: int, batch: int, steps: int) -> Any:
    width, height = model.size
    return pipe(
        prompt=[PROMPTS[number % len(PROMPTS)] for number in range(first, first + batch)],
        num_inference_steps=steps,
        guidance_scale=model.guidance_scale,
        width=width,
        height=height,
        generator=torch.Generator(model.device).manual_seed(first),
    ).images


def best_plain_batch(pipe: Any, model: ResolvedModel, limit: float) -> int:
    """The batch size up to 64 at which diffusers' own call makes the most images a second.

    With at most eight steps; larger ones are no longer tried after two that were no better, nor
    where a call would take longer than `limit` seconds.
    """
    steps = min(8, model.steps)
    best, best_rate, worse = 1, 0.0, 0
    for batch in (1, 2, 4, 8, 16, 32, 64):
        try:
            _call_plainly(pipe, model, 0, batch, 1)
            times = []
            for _ in range(2):
                started = time.perf_counter()
                _call_plainly(pipe, model, 0, batch, steps)
                times.append(time.perf_counter() - started)
        except torch.OutOfMemoryError:
            break
        rate = batch / min(times)
        worse = 0 if rate > best_rate else worse + 1
        if rate > best_rate:
            best, best_rate = batch, rate
        if worse == 2 or 2 * min(times) > limit:
            break
    return best


def engine(generator: Generator, batch: int, images: int, form: str) -> None:
    """(d) synfill's engine: a plan to finished shards, checked and encoded."""
    profile = profile_of(generator.model, form)
    with tempfile.TemporaryDirectory() as folder:
        store = ShardStore(Path(folder), images, shard_size(batch))
        task = FillTask(
            requests=requests(images),
            open_maker=lambda: generator,
            store=store,
            profile_of=lambda request: profile,
            checks=Checks(Facts(generator.model.size)),
            batch_size=batch,
            max_tries=1,
        )
        fill(task, LocalEngine(), on_progress=lambda progress: None, on_note=print)
        rejected = sum(not verdict.accepted for verdict in store.verdicts())
    if rejected:
        raise RuntimeError(f"{rejected} images were rejected: nothing can be compared")


def encode_seconds(generator: Generator, form: str) -> float:
    """Seconds to encode one image of this model's in one thread."""
    samples = generator.make(requests(1))
    profile = profile_of(generator.model, form)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        encode(samples[0].pixels, profile)
        times.append(time.perf_counter() - started)
    return float(np.median(times))


def profile_of(model: ResolvedModel, form: str) -> ImageProfile:
    """A file of the size that the model makes, so that no resizing hides in it."""
    return ImageProfile(form.upper(), "RGB", model.size)


def write_json(path: Path, content: object) -> None:
    """Write what is known so far: a command that is stopped keeps it."""
    text = io.StringIO()
    json.dump(content, text, indent=1)
    path.write_text(text.getvalue() + "\n", encoding="utf-8")
