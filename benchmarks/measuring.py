"""What the benchmarks measure with: times, a matrix rate, operations, idle share, memory."""

from __future__ import annotations

import gc
import platform
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

Work = Callable[[], object]


class Clock:
    """The time that a command may take.

    Args:
        minutes: In all.
    """

    def __init__(self, minutes: float) -> None:
        self._end = time.perf_counter() + 60 * minutes

    def left(self) -> float:
        """Seconds that are left."""
        return self._end - time.perf_counter()


def seconds(work: Work, device: str) -> float:
    """Seconds that some work takes, the device's part of it included."""
    synchronize(device)
    started = time.perf_counter()
    work()
    synchronize(device)
    return time.perf_counter() - started


@dataclass(frozen=True)
class Spent:
    """What some work took.

    Attributes:
        seconds: By the clock.
        cpu_seconds: Of all threads together: on a machine that others use too, the steadier one.
    """

    seconds: float
    cpu_seconds: float


def in_turns(
    works: dict[str, Work], device: str, turns: int, clock: Clock, until: float
) -> dict[str, list[Spent]]:
    """Time several pieces of work, in turns so that a slow spell hits all of them.

    Args:
        works: What to time; each has been done once before.
        device: The device that they run on.
        turns: How often each is done: at least once, at most so often.
        clock: The time that is left.
        until: Seconds that must be left after a turn for it to be begun.
    """
    found: dict[str, list[Spent]] = {name: [] for name in works}
    longest = 0.0
    for turn in range(turns):
        if turn and clock.left() - longest < until:
            break
        before = clock.left()
        for name, work in works.items():
            started = time.process_time()
            passed = seconds(work, device)
            found[name].append(Spent(passed, time.process_time() - started))
        longest = max(longest, before - clock.left())
    return found


def matrix_rate(device: str, dtype: torch.dtype) -> float:
    """Tera-operations a second of a large square matrix product on random numbers.

    A multiplication with its addition is two operations. The best of three runs.
    """
    side, times = (8192, 20) if device.startswith("cuda") else (2048, 3)
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))

    def multiply() -> None:
        for _ in range(times):
            torch.matmul(a, b)

    multiply()
    return 2 * side**3 * times / min(seconds(multiply, device) for _ in range(3)) / 1e12


def operations(work: Work) -> float:
    """Tera-operations of some work: torch's FlopCounterMode, which counts matrix products,
    convolutions and attention."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 1e12


def idle_share(work: Work, device: str) -> float | None:
    """The share of the time in which no kernel and no copy ran on the GPU.

    From the profiler's timestamps: 1 - (union of all intervals) / (first start to last end).

    Returns:
        None on a CPU, and where the profiler can't be used.
    """
    if not device.startswith("cuda"):
        return None
    try:
        with profile(activities=[ProfilerActivity.CUDA]) as profiler:
            work()
            synchronize(device)
    except RuntimeError as error:
        print(f"The profiler can't be used: {error}")
        return None
    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in profiler.events() or []
        if event.device_type == torch.autograd.DeviceType.CUDA
        and not getattr(event, "is_user_annotation", False)
    )
    if not spans:
        return None
    busy, end = 0.0, spans[0][0]
    for first, last in spans:
        busy += max(0.0, last - max(first, end))
        end = max(end, last)
    return 1 - busy / (end - spans[0][0])


def peak_memory(work: Work, device: str) -> float:
    """Gibibytes: on a GPU the most that was allocated meanwhile, on a CPU by the process so far."""
    if not device.startswith("cuda"):
        work()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    torch.cuda.reset_peak_memory_stats(device)
    work()
    synchronize(device)
    return torch.cuda.max_memory_allocated(device) / 2**30


def synchronize(device: str) -> None:
    """Wait for a GPU."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def free() -> None:
    """Give back what nothing uses any more."""
    gc.collect()
    torch.compiler.reset()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def machine(device: str) -> dict[str, Any]:
    """What was measured on."""
    import diffusers
    import transformers

    return {
        "device": torch.cuda.get_device_name(device) if device != "cpu" else _processor(),
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "transformers": transformers.__version__,
        "date": time.strftime("%Y-%m-%d"),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if "model name" in line]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
