"""What a stage's steps give: losses and hits summed up, progress told, a NaN found.

The device is asked for numbers every few steps only. Knows neither the network nor the images.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from synfill.errors import RunError
from synfill.training.settings import StageSettings

if TYPE_CHECKING:
    from accelerate import Accelerator

_LOOK_EVERY = 16
"""Steps between two looks at the losses: each look waits for the GPU."""

_TELL_SECONDS = 0.5
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


@dataclass(frozen=True)
class LoopProgress:
    """How far a stage is.

    Attributes:
        stage: Its name.
        done: Images that it has seen.
        total: Images that it will see.
        epoch: The epoch it is in, from 1.
        epochs: Its epochs.
        loss: Mean of the last steps.
        accuracy: Likewise, 0..1; on training images as they are shown (augmented, mixed).
        images_per_second: Over this session of the stage.
        seconds_left: To the stage's end.
    """

    stage: str
    done: int
    total: int
    epoch: int
    epochs: int
    loss: float
    accuracy: float
    images_per_second: float
    seconds_left: float


class Meter:
    """Sums up a stage's losses and hits, tells how far it is, and stops it at a NaN.

    Args:
        plan: The stage.
        accelerator: Where it runs.
        first_step: The step that this session begins with.
        on_progress: Told twice a second, on the main process.
    """

    def __init__(
        self,
        plan: StagePlan,
        accelerator: Accelerator,
        first_step: int,
        on_progress: Callable[[LoopProgress], None],
    ) -> None:
        self._plan = plan
        self._accelerator = accelerator
        self._first_step = first_step
        self._on_progress = on_progress
        self._started = time.monotonic()
        self._told = 0.0
        self._epoch = 0

    def begin_epoch(self, epoch: int) -> None:
        """Start counting anew; epochs count from 0."""
        self._epoch = epoch
        self._sums = [0.0, 0.0, 0.0]
        self._waiting: list[tuple[Tensor, Tensor, int]] = []

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

    def end_epoch(self, step: int) -> tuple[float, float, float]:
        """Sums over all processes: loss times images, hits, images.

        Raises:
            RunError: A loss is not finite.
        """
        self._look(step)
        # Not float64: Apple's GPUs have none.
        sums = torch.tensor(self._sums, dtype=torch.float32, device=self._accelerator.device)
        total, right, seen = self._accelerator.reduce(sums, reduction="sum").tolist()
        return total, right, seen

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
        self._sums[0] += total
        self._sums[1] += sum(hits)
        self._sums[2] += sum(images)
        self._tell(step, total / sum(images), sum(hits) / sum(images))

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

    def _tell(self, step: int, loss: float, accuracy: float) -> None:
        now = time.monotonic()
        plan = self._plan
        if not self._accelerator.is_main_process:
            return
        if now - self._told < _TELL_SECONDS and step < plan.steps:
            return
        self._told = now
        steps = step - self._first_step
        seconds = max(now - self._started, 1e-9)
        per_step = plan.images_per_epoch / plan.steps_per_epoch
        self._on_progress(
            LoopProgress(
                stage=plan.name,
                done=round(step * per_step),
                total=round(plan.steps * per_step),
                epoch=self._epoch + 1,
                epochs=plan.epochs,
                loss=loss,
                accuracy=accuracy,
                images_per_second=steps * per_step / seconds,
                seconds_left=(plan.steps - step) * seconds / max(steps, 1),
            )
        )
