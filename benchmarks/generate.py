"""How near to the network's own speed does synfill make images, and how far ahead of plain loops?

    python benchmarks/generate.py --model demo                         # on a CPU
    python benchmarks/generate.py --model sd15 --variants       # on a GPU, in ten minutes
    python benchmarks/generate.py --model sdxl --variants       # likewise
    python benchmarks/generate.py --memory                      # likewise

For each model, on one device and in one run:

(a) the network alone: its denoiser called for all steps (twice the batch, for guidance) and its
    decoder, in the layout and at the batch size of (d): what no generator can beat;
(b) diffusers' own call in a loop at batch size 1, saving every image, as published generators run;
(c) the same at its best batch size, which is searched for;
(d) synfill's engine from plan to finished shards.

sd15 and sdxl have their real size and random weights (real_models.py). (a) and (d) are timed in
turns, on a CPU all four, and ratios are the median over the turns. Operations are counted with
torch's FlopCounterMode on the network of (a); utilisation is theirs a second, over the rate of a
large matrix product measured in the same run and number type. Prints Markdown and writes JSON.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import traceback
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import diffusers
import measuring
import real_models
import torch
import variants
import ways
from diffusers import AutoPipelineForText2Image

from synfill.devices import find_device
from synfill.generation.models.presets import find_preset
from synfill.generation.models.resolve import GeneratorSettings, ResolvedModel, resolve_model
from synfill.generation.models.schedulers import build_scheduler
from synfill.generation.pipeline.batch_size import expected_batch_size, largest_that_pays
from synfill.generation.pipeline.generator import Generator, load_generator
from synfill.generation.pipeline.load import make_ready
from synfill.generation.pipeline.rates import measure_rate

# Model -> guidance scale, pixels a side, images of a turn of (d), steps.
SETTINGS: dict[str, dict[str, Any]] = {
    "demo": {"guidance_scale": 1.5, "side": 32, "images": 256, "steps": 10},
    "tiny": {"guidance_scale": 7.5, "side": 64, "images": 128, "steps": 25},
    "sd15": {"guidance_scale": 7.5, "side": 512, "images": 256, "steps": 25},
    "sdxl": {"guidance_scale": 5.0, "side": 1024, "images": 48, "steps": 25},
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", nargs="+", choices=SETTINGS, help="default: demo")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--images", type=int, help="images of one turn of (d)")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--size", type=int, help="pixels a side")
    parser.add_argument("--batch-size", type=int, help="of (a) and (d); the automatic one if unset")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--compile", choices=["auto", "yes", "no"], default="auto")
    parser.add_argument("--format", choices=["jpeg", "png"], default="jpeg")
    parser.add_argument("--variants", action="store_true", help="time other ways to run (a)")
    parser.add_argument("--memory", action="store_true", help="measure peak memory (GPU only)")
    parser.add_argument("--minutes", type=float, default=9.5, help="the time that it may take")
    parser.add_argument("--out", type=Path, default=Path("generate.json"))
    arguments = parser.parse_args()
    device = find_device(arguments.device)
    if arguments.memory and not device.startswith("cuda"):
        sys.exit("--memory measures what is allocated on a CUDA GPU, and here is none.")
    if arguments.model is None:
        arguments.model = [] if arguments.memory else ["demo"]
    diffusers.utils.logging.set_verbosity_error()
    clock = measuring.Clock(arguments.minutes)
    found: dict[str, Any] = {"machine": measuring.machine(device), "models": {}}
    torch.manual_seed(0)
    # What is asked for last must not starve: the models share what is left, in turn.
    for number, name in enumerate(arguments.model):
        share = 1 / (len(arguments.model) - number + arguments.variants + 0.5 * arguments.memory)
        try:
            found["models"][name] = measure(name, device, arguments, clock, share)
        except Exception:
            # The next model's figures are worth having all the same.
            traceback.print_exc()
            measuring.free()
            continue
        print(table(name, found["models"][name], found["machine"]), flush=True)
        ways.write_json(arguments.out, found)
    if arguments.variants:
        for name in found["models"]:
            batch = found["models"][name]["batch_size"]
            found["models"][name]["variants"] = []
            for row in variants.time_variants(
                lambda n=name: fresh(n, device, arguments), batch, clock
            ):
                found["models"][name]["variants"].append(row)
                print(variants.line(name, row), flush=True)
                ways.write_json(arguments.out, found)
    if arguments.memory:
        found["memory"] = []
        for row in variants.measure_memory(device, clock):
            found["memory"].append(row)
            print(variants.memory_line(row), flush=True)
            ways.write_json(arguments.out, found)
    print(f"Written to {arguments.out}; {arguments.minutes * 60 - clock.left():.0f} s in all.")
    if len(found["models"]) < len(arguments.model):
        sys.exit(1)


def fresh(
    name: str, device: str, arguments: argparse.Namespace, **changes: Any
) -> tuple[Any, ResolvedModel]:
    """A pipeline as it is loaded, on its device, and its settings."""
    own = SETTINGS[name]
    side = arguments.size or own["side"]
    settings = {
        "steps": arguments.steps or own["steps"],
        "guidance_scale": own["guidance_scale"],
        "size": (side, side),
        "scheduler": "dpm++" if name != "sdxl" else None,
        "device": device,
    } | changes
    with tempfile.TemporaryDirectory() as folder:
        if name in real_models.MODELS:
            dtype = torch.bfloat16 if device.startswith("cuda") else torch.float32
            pipe = real_models.build(name, device, dtype)
            model = real_models.resolve(pipe, Path(folder), settings)
        else:
            path = folder_of(name, Path(folder))
            model = resolve_model(GeneratorSettings(model=str(path), **settings))
            pipe = AutoPipelineForText2Image.from_pretrained(
                path, dtype=getattr(torch, model.dtype)
            )
            pipe.to(device)
    pipe.set_progress_bar_config(disable=True)
    if model.scheduler is not None:
        pipe.scheduler = build_scheduler(model.scheduler, pipe.scheduler, flow=model.flow)
    return pipe, model


def folder_of(name: str, where: Path) -> Path:
    """The folder of a small model."""
    if name == "tiny":
        from tiny_models import make_sd

        return make_sd(where / "tiny")
    preset = find_preset(name)
    assert preset is not None and preset.folder is not None
    return preset.folder


def measure(
    name: str, device: str, arguments: argparse.Namespace, clock: measuring.Clock, share: float
) -> dict[str, Any]:
    """Everything about one model; see the top of this file."""
    on_gpu = device.startswith("cuda")
    form = arguments.format
    end = clock.left() * (1 - share)
    plain, model = fresh(name, device, arguments)
    network = ways.Network(plain, model, 1)
    with torch.inference_mode():
        call, decode = measuring.operations(network.call), measuring.operations(network.decode)
    work = call * model.steps + decode
    rate = measuring.matrix_rate(device, getattr(torch, model.dtype))
    plain_batch = ways.best_plain_batch(plain, model, (clock.left() - end) / 20)
    loops = {"b": 4 if on_gpu else 8, "c": plain_batch * (2 if plain_batch > 1 else 8)}
    works: dict[str, measuring.Work] = {
        "b": lambda: ways.plain_loop(plain, model, 1, loops["b"], form),
        "c": lambda: ways.plain_loop(plain, model, plain_batch, loops["c"], form),
    }
    times: dict[str, list[measuring.Spent]] = {}
    if on_gpu:
        # Quiet enough to be timed one after the other; so the engine has all of the memory.
        times |= measuring.in_turns(works, device, 2, clock, end)
        works.clear()
        del plain, network
        measuring.free()

    compiled = arguments.compile == "yes" or (arguments.compile == "auto" and on_gpu)
    generator = engine_of(name, device, arguments, compiled)
    batch = arguments.batch_size or batch_size_of(generator)
    images = -(-(arguments.images or SETTINGS[name]["images"]) // batch) * batch
    first = measuring.seconds(lambda: make(generator, batch), device)
    steady = measuring.seconds(lambda: make(generator, batch), device)
    floor = ways.Network(generator._pipe, generator.model, batch)
    # Not more than fits: a batch's time is known by now.
    fits = int((clock.left() - end) / 3 / steady) * batch
    images = max(2 * batch, min(images, fits - fits % batch))
    floor_batches = max(1, images // batch // 2)
    works["a"] = lambda: [floor.run() for _ in range(floor_batches)]
    works["d"] = lambda: ways.engine(generator, batch, images, form)
    floor.run()
    memory = measuring.peak_memory(lambda: ways.engine(generator, batch, 2 * batch, form), device)
    times |= measuring.in_turns(works, device, arguments.turns, clock, end)
    made = {**loops, "a": floor_batches * batch, "d": images}
    speeds = {way: [made[way] / each.seconds for each in times[way]] for way in sorted(times)}
    spent = {way: [each.cpu_seconds / made[way] for each in times[way]] for way in sorted(times)}
    encoding = ways.encode_seconds(generator, form)
    idle = measuring.idle_share(lambda: ways.engine(generator, batch, 2 * batch, form), device)
    speed = median(speeds["d"])
    setup = max(0.0, first - steady)
    return {
        "size": model.size,
        "steps": model.steps,
        "guidance_scale": model.guidance_scale,
        "dtype": model.dtype,
        "compiled": compiled,
        "format": form,
        "batch_size": batch,
        "plain_batch_size": plain_batch,
        "images_per_second": speeds,
        "cpu_seconds_per_image": spent,
        "ratios": {f"d/{way}": ratio(speeds, way) for way in "abc"},
        "cpu_ratio": median(a / d for a, d in zip(spent["a"], spent["d"], strict=True)),
        "tflop_per_image": work,
        "tflops": speed * work,
        "matrix_tflops": rate,
        "utilisation": speed * work / rate,
        "idle_share": idle,
        "peak_gib": memory,
        "setup_seconds": setup,
        "with_setup": {n: n / (n / speed + setup) for n in (1_000, 10_000)},
        "encode_seconds": encoding,
    }


def engine_of(name: str, device: str, arguments: argparse.Namespace, compiled: bool) -> Generator:
    """The generator as synfill runs it."""
    if name in real_models.MODELS:
        pipe, model = fresh(name, device, arguments, compile=compiled)
        make_ready(pipe, model)
        return Generator(pipe, model)
    with tempfile.TemporaryDirectory() as folder:
        _, model = fresh(name, device, arguments, compile=compiled)
        path = folder_of(name, Path(folder))
        return load_generator(replace(model, source=str(path)))


def batch_size_of(generator: Generator) -> int:
    """The batch size that synfill would take: timed on a GPU, from its table elsewhere."""
    if not generator.model.device.startswith("cuda"):
        return expected_batch_size(generator.model)
    with torch.compiler.set_stance("force_eager"):
        (request,) = ways.requests(1)
        return largest_that_pays(lambda size: measure_rate(generator, request, size))[0]


def make(generator: Generator, batch: int) -> None:
    generator.make(ways.requests(batch))


def ratio(speeds: dict[str, list[float]], way: str) -> float:
    """(d) over another way: of the same turn where they took turns."""
    ours, theirs = speeds["d"], speeds[way]
    if len(ours) == len(theirs):
        return median(a / b for a, b in zip(ours, theirs, strict=True))
    return median(ours) / median(theirs)


def table(name: str, found: dict[str, Any], machine: dict[str, Any]) -> str:
    """One model's figures as Markdown."""
    speeds = {way: median(each) for way, each in found["images_per_second"].items()}
    side, ratios = found["size"][0], found["ratios"]
    idle = "not measured" if found["idle_share"] is None else f"{found['idle_share']:.1%}"
    rows = [
        ("(a) network alone", f"{speeds['a']:.4g} images/s at batch size {found['batch_size']}"),
        ("(b) plain loop, batch size 1", f"{speeds['b']:.4g} images/s"),
        (f"(c) plain loop, batch size {found['plain_batch_size']}", f"{speeds['c']:.4g} images/s"),
        ("(d) synfill, plan to shards", f"{speeds['d']:.4g} images/s"),
        (
            "slowest of the turns / fastest",
            ", ".join(
                f"({way}) {min(each) / max(each):.2f}"
                for way, each in found["images_per_second"].items()
            )
            + "; far below 1: the machine wasn't quiet",
        ),
        ("d/a", f"{ratios['d/a']:.3f}"),
        *(
            [("d/a by processor time", f"{found['cpu_ratio']:.3f}")]
            if machine["device"] == machine["processor"]
            else []
        ),
        ("d/b", f"{ratios['d/b']:.2f}"),
        ("d/c", f"{ratios['d/c']:.2f}"),
        ("operations an image", f"{found['tflop_per_image']:.4g} TFLOP"),
        (
            "utilisation of the matrix rate",
            f"{found['utilisation']:.1%}: {found['tflops']:.4g} of {found['matrix_tflops']:.4g} "
            f"TFLOP/s ({found['dtype']})",
        ),
        ("GPU idle in (d)", idle),
        ("peak memory in (d)", f"{found['peak_gib']:.2f} GiB"),
        ("first batch longer by (compilation)", f"{found['setup_seconds']:.1f} s"),
        *(
            (f"(d) with it, {n:,} images", f"{speed:.4g} images/s")
            for n, speed in found["with_setup"].items()
        ),
        ("encoding an image, one thread", f"{1000 * found['encode_seconds']:.3g} ms"),
    ]
    compiled = "compiled" if found["compiled"] else "not compiled"
    head = (
        f"\n{name}, {side}x{side}, {found['steps']} steps, guidance {found['guidance_scale']:g}, "
        f"{found['dtype']}, {compiled}, {found['format'].upper()}; {machine['device']}, torch "
        f"{machine['torch']}, diffusers {machine['diffusers']}, {machine['date']}\n\n"
        "| | |\n|---|---|"
    )
    return "\n".join([head, *(f"| {what} | {value} |" for what, value in rows)])


if __name__ == "__main__":
    main()
