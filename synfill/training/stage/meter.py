"""What a stage's steps give: losses and hits summed up, progress reported, a NaN found.

The device is asked for numbers every few steps only. Knows neither the network nor the images.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from synfill.config.recipes.stages import StageSettings
from synfill.errors import RunError
from synfill.reporter import Reporter

if TYPE_CHECKING:
    from accelerate import Accelerator

_LOOK_EVERY = 16
"""Steps between two looks at the losses: each look waits for the GPU."""

_REPORT_SECONDS = 0.5
_LONG_WARMUP = 0.1
"""Share of a stage that a warm-up is advised to have where the loss isn't finite."""


@dataclass(frozen=True)
class StagePlan:
    """A stage in figures.

    Attributes:
        title: What is trained ("ce, seed 0"), for messages.
        key: Where the stage's settings are changed ("stages.0"), for advice.
        name: What the stage is called.
        stage: Its settings.
        steps: Its optimizer steps.
        epochs: Its epochs; the last one may be cut short by the steps.
        steps_per_epoch: Steps of a whole epoch.
        images_per_epoch: Images of a whole epoch, over all processes.
    """

    title: str
    key: str
    name: str
    stage: StageSettings
    steps: int
    epochs: int
    steps_per_epoch: int
    images_per_epoch: int


class Meter:
    """Sums up a stage's losses and hits, says how far it is, and stops it at a NaN.

    Args:
        plan: The stage.
        accelerator: Where it runs.
        first_step: The step that this session begins with.
        reporter: Where progress goes twice a second, on the main process.
    """

    def __init__(
        self, plan: StagePlan, accelerator: Accelerator, first_step: int, reporter: Reporter
    ) -> None:
        self._plan = plan
        self._accelerator = accelerator
        self._first_step = first_step
        self._reporter = reporter
        self._started = time.monotonic()
        self._reported = 0.0
        self._epoch = 0

    def begin(self) -> None:
        """Start summing up anew."""
        self._total, self._right, self._seen = 0.0, 0.0, 0
        self._waiting: list[tuple[Tensor, Tensor, int]] = []

    def begin_epoch(self, epoch: int) -> None:
        """Say which epoch it is now, from 0."""
        self._epoch = epoch

    def count(self, loss: Tensor, hits: Tensor, images: int, step: int) -> None:
        """Take in a step without waiting for the device.

        Args:
            loss: The batch's mean loss, a scalar on the device.
            hits: How many were right, likewise.
            images: Images of the batch.
            step: Steps of the stage so far, this one counted.

        Raises:
            RunError: This or an earlier loss is not finite.
        """
        self._waiting.append((loss, hits, images))
        if len(self._waiting) >= _LOOK_EVERY:
            self._look(step)

    def end(self, step: int) -> tuple[float, float, int]:
        """Sums over all processes since `begin`: loss times images, hits, images.

        Raises:
            RunError: A loss is not finite.
        """
        self._look(step)
        if self._accelerator.num_processes == 1:
            return self._total, self._right, self._seen
        # float32 counts no further than to 16.7 million. Several processes share no Apple GPU,
        # which has no float64.
        sums = torch.tensor(
            [self._total, self._right, self._seen],
            dtype=torch.float64, device=self._accelerator.device,
        )  # fmt: skip
        total, right, seen = self._accelerator.reduce(sums, reduction="sum").tolist()
        return total, right, int(seen)

    def _look(self, step: int) -> None:
        if not self._waiting:
            return
        losses = torch.stack([loss for loss, _, _ in self._waiting]).tolist()
        hits = torch.stack([hits for _, hits, _ in self._waiting]).tolist()
        images = [count for _, _, count in self._waiting]
        self._waiting = []
        for position, loss in enumerate(losses):
            if not math.isfinite(loss):
                self._stop(step - len(losses) + position + 1, loss)
        total = sum(loss * count for loss, count in zip(losses, images, strict=True))
        self._total += total
        self._right += sum(hits)
        self._seen += sum(images)
        self._report(step, total / sum(images), sum(hits) / sum(images))

    def _stop(self, step: int, loss: float) -> None:
        plan, stage = self._plan, self._plan.stage
        ways = [f"lower its learning rate ({plan.key}.lr={stage.lr / 10:g})"]
        length = stage.epochs or stage.steps or 1
        if stage.units(stage.warmup) < _LONG_WARMUP * length:
            ways.append(f"lengthen its warm-up ({plan.key}.warmup={_LONG_WARMUP})")
        if self._accelerator.mixed_precision != "no":
            ways.append("compute in full precision (hardware.precision=float32)")
        raise RunError(
            f"{plan.title}: the loss is {loss} in stage '{plan.name}', epoch {self._epoch + 1} of "
            f"{plan.epochs}, step {step} of {plan.steps}.",
            f"With another --out or --overwrite, {' or '.join(ways)}.",
        )

    def _report(self, step: int, loss: float, accuracy: float) -> None:
        now = time.monotonic()
        plan = self._plan
        if not self._accelerator.is_main_process:
            return
        if now - self._reported < _REPORT_SECONDS and step < plan.steps:
            return
        self._reported = now
        per_step = plan.images_per_epoch / plan.steps_per_epoch
        done, total = round(step * per_step), round(plan.steps * per_step)
        # Of this session alone: a resumed one's first steps were made in another.
        rate = (step - self._first_step) * per_step / max(now - self._started, 1e-9)
        self._reporter.progress(
            f"{plan.title}, {plan.name}",
            done,
            total,
            f"epoch {self._epoch + 1} of {plan.epochs}, loss {loss:.3f}, accuracy {accuracy:.1%}",
            rate,
            (total - done) / rate,  # what is left, at that very rate
        )
