"""How long a run will take, said before it starts: counted operations, or a measured warm-up.

The operations were counted by benchmarks/flops.py on the models' public configurations. Knows
torch only through the generator that it measures.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from synfill.generation.models.families.family import find_family
from synfill.generation.models.guidance import guided_steps
from synfill.generation.models.presets import find_preset
from synfill.generation.models.resolve import ResolvedModel
from synfill.records import Request

if TYPE_CHECKING:
    from synfill.generation.pipeline.generator import Generator


@dataclass(frozen=True)
class Work:
    """Operations of a model at its preset's size; a multiplication with its addition is two.

    Attributes:
        call: Tera-operations of one call of the denoiser for one image.
        decode: Tera-operations of decoding one image.
    """

    call: float
    decode: float


# Printed by benchmarks/flops.py (torch 2.15, diffusers 0.42.1). Text encoders are left out: each
# prompt is encoded once however many images show it.
WORK: Final[Mapping[str, Work]] = {
    "sd15": Work(0.803, 2.515),
    "sdxl": Work(6.761, 10.470),
    "sdxl-turbo": Work(1.589, 2.515),
    "sd35-medium": Work(11.250, 10.472),
    "sd35-large": Work(31.121, 10.472),
    "sd35-turbo": Work(31.121, 10.472),
    "flux-dev": Work(74.385, 10.472),
    "flux-schnell": Work(69.467, 10.472),
    "pixart": Work(6.634, 10.470),
    "sana": Work(2.967, 8.369),
}

PEAK_TFLOPS: Final[Mapping[str, float]] = {
    "H100": 989.0,
    "A100": 312.0,
    "RTX 4090": 165.0,
    "L4": 121.0,
    "T4": 65.0,
}
"""Dense 16-bit matrix rate with 32-bit accumulation, as the makers publish it."""

UTILISATION: Final = 0.35
"""Share of the published rate that is assumed to be reached. An assumption, not a measurement."""


def tflop_per_image(model: ResolvedModel) -> float | None:
    """Tera-operations for one image, all steps and the decoding.

    For another size than the preset's they are scaled with the number of pixels, which is a
    little too much for smaller images and too little for larger ones (attention grows faster).

    Returns:
        None for a model that is no preset.
    """
    work, preset = WORK.get(model.preset), find_preset(model.preset)
    if work is None or preset is None:
        return None
    pixels = model.size[0] * model.size[1] / (preset.size[0] * preset.size[1])
    return pixels * ((model.steps + _guided_steps(model)) * work.call + work.decode)


def _guided_steps(model: ResolvedModel) -> int:
    """Steps that denoise a second time, for guidance."""
    if model.guidance_scale <= 1 or find_family(model.family).guidance_in_weights:
        return 0
    return len(guided_steps(model.guidance_interval or (0.0, 1.0), model.steps))


def estimate_seconds(model: ResolvedModel, images: int, device_class: str) -> float | None:
    """Seconds for so many images on a GPU, at UTILISATION of its published rate.

    Args:
        model: The generator.
        images: How many.
        device_class: A key of PEAK_TFLOPS.

    Returns:
        None for a model that is no preset.
    """
    tflop = tflop_per_image(model)
    if tflop is None:
        return None
    return images * tflop / (PEAK_TFLOPS[device_class] * UTILISATION)


def measure_rate(generator: Generator, request: Request, batch_size: int = 1) -> float:
    """Seconds an image takes on this machine, from a warm-up of a few steps.

    Times two numbers of steps, each twice, and goes on in a straight line to the full number.

    Args:
        generator: A loaded model.
        request: Any request of the run: with a negative prompt some models compute twice as much.
        batch_size: Images at a time.

    Raises:
        OutOfMemory: The batch doesn't fit.
    """
    few, more = 2, 4
    requests = [request.again(k) for k in range(batch_size)]

    def timed(steps: int) -> float:
        """Seconds of one batch, the better of two: other work makes it longer, never shorter."""
        short = generator.with_steps(steps)
        times = []
        for _ in range(2):
            started = time.perf_counter()
            short.make(requests)  # pixels are in main memory by then, so the device is done
            times.append(time.perf_counter() - started)
        return min(times)

    timed(few)  # the first call allocates, and chooses kernels
    steps = generator.model.steps
    if steps <= more:
        return timed(steps) / batch_size
    start = timed(few)
    a_step = (timed(more) - start) / (more - few)
    return (start + max(0.0, a_step) * (steps - few)) / batch_size
