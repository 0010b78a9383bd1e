"""Other ways to run a network, and what memory they need: for generate.py --variants and --memory.

Each variant is timed as the network alone, on a pipeline of its own; what is worth it goes into
synfill/generation/pipeline/load.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import measuring
import real_models
import torch
import ways

from synfill.generation.pipeline.generator import Generator
from synfill.generation.pipeline.load import make_ready
from synfill.generation.pipeline.samples import OutOfMemory

Change = Callable[[Any], object]


def channels_last(pipe: Any) -> None:
    for part in (pipe.unet, pipe.vae):
        part.to(memory_format=torch.channels_last)


def fused(pipe: Any) -> None:
    channels_last(pipe)
    pipe.fuse_qkv_projections()


def compiled(pipe: Any, **settings: Any) -> None:
    channels_last(pipe)
    pipe.unet.compile(dynamic=False, **settings)


def compiled_in_regions(pipe: Any) -> None:
    channels_last(pipe)
    pipe.unet.compile_repeated_blocks(dynamic=False)


def compiled_with_decoder(pipe: Any) -> None:
    compiled(pipe)
    pipe.vae.decoder.compile(dynamic=False)


def compiled_and_fused(pipe: Any) -> None:
    fused(pipe)
    pipe.unet.compile(dynamic=False)


# The most telling first: time may run out.
VARIANTS: dict[str, Change] = {
    "as loaded": lambda pipe: None,
    "channels-last": channels_last,
    "channels-last, compiled": compiled,
    "channels-last, compiled in regions": compiled_in_regions,
    "channels-last, compiled with CUDA graphs": lambda pipe: compiled(pipe, mode="reduce-overhead"),
    "channels-last, fused QKV": fused,
    "channels-last, fused QKV, compiled": compiled_and_fused,
    "channels-last, compiled with the decoder": compiled_with_decoder,
}


def time_variants(
    fresh: Callable[[], tuple[Any, Any]], batch: int, clock: measuring.Clock
) -> Iterator[dict[str, Any]]:
    """Images a second of each variant, and how long its first batch took longer.

    Args:
        fresh: Gives a pipeline as it is loaded, with its settings.
        batch: Images at a time.
        clock: No variant is begun with less than a minute left.
    """
    for name, change in VARIANTS.items():
        pipe, model = fresh()
        if clock.left() < 60 or ("CUDA" in name and not model.device.startswith("cuda")):
            continue
        try:
            change(pipe)
            network = ways.Network(pipe, model, batch)
            first = measuring.seconds(network.run, model.device)
            runs = measuring.in_turns({"": network.run}, model.device, 4, clock, 60)[""]
            best = min(run.seconds for run in runs)
            row = {
                "variant": name,
                "images_per_second": batch / best,
                "cpu_seconds_per_image": min(run.cpu_seconds for run in runs) / batch,
                "setup_seconds": max(0.0, first - best),
            }
        except Exception as error:
            row = {"variant": name, "failed": str(error).partition("\n")[0][:200]}
        yield row
        del pipe
        measuring.free()


def line(model: str, row: dict[str, Any]) -> str:
    """One variant as a line of a Markdown table."""
    if "failed" in row:
        return f"| {model} | {row['variant']} | failed: {row['failed']} | | |"
    speed, setup = row["images_per_second"], row["setup_seconds"]
    processor = 1000 * row["cpu_seconds_per_image"]
    return (
        f"| {model} | {row['variant']} | {speed:.4g} images/s | {processor:.3g} ms of processor an "
        f"image | {setup:.1f} s |"
    )


# Name -> pixels a side.
SIZES = {"sd15": 512, "sdxl": 1024, "flux-dev": 1024}


def measure_memory(device: str, clock: measuring.Clock) -> Iterator[dict[str, Any]]:
    """Peak memory of synfill's generator, as it is and with what saves memory, by batch size.

    Two steps: more of them need no more memory. Tiling changes an image where tiles meet, so
    that synfill doesn't use it; it is here to be compared.

    Args:
        device: A CUDA GPU.
        clock: No model is begun with less than a minute left.
    """
    for name, side in SIZES.items():
        for way in ("all on the GPU", "sliced decoding", "tiled decoding", "--offload"):
            if clock.left() < 60:
                return
            pipe = real_models.build(name, device, torch.bfloat16)
            settings = {"steps": 2, "size": (side, side), "device": device}
            with TemporaryDirectory() as folder:
                model = real_models.resolve(pipe, Path(folder), settings)
            if way == "--offload":
                pipe.to("cpu")
                measuring.free()
            model = replace(model, offload=way == "--offload")
            make_ready(pipe, model)
            if way == "sliced decoding":
                pipe.vae.enable_slicing()
            elif way == "tiled decoding":
                pipe.vae.enable_tiling()
            generator = Generator(pipe, model)
            for batch in (1, 4, 16):
                row = {"model": name, "way": way, "batch_size": batch}
                started = time.perf_counter()
                try:
                    row["peak_gib"] = measuring.peak_memory(
                        lambda g=generator, b=batch: g.make(ways.requests(b)),
                        device,
                    )
                except OutOfMemory:
                    row["peak_gib"] = None
                yield row | {"seconds": time.perf_counter() - started}
            del generator, pipe
            measuring.free()


def memory_line(row: dict[str, Any]) -> str:
    """One measurement as a line of a Markdown table."""
    peak = "doesn't fit" if row["peak_gib"] is None else f"{row['peak_gib']:.2f} GiB"
    return f"| {row['model']} | {row['way']} | {row['batch_size']} | {peak} |"
