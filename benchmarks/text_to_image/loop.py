"""One loop for every part: averaged weights, checkpoints, a seed for each step."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.text_to_image.settings import Settings

Losses = list[tuple[str, int, float]]
"""(stage, step, loss) of every step."""


@dataclass(frozen=True)
class Session:
    """What all parts are trained with.

    Attributes:
        settings: The settings.
        device: Where the networks are.
        work: The folder of the checkpoints.
        save_every: Steps from checkpoint to checkpoint.
    """

    settings: Settings
    device: str
    work: Path
    save_every: int


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
    session: Session,
    show: Callable[[int], None] | None = None,
) -> Losses:
    """Trains a model, leaves the averaged weights in it; goes on from its checkpoint.

    Args:
        stage: Its name, for the checkpoint and the log.
        model: What is trained, on its device.
        compute_loss: The loss of one batch; takes the step's own generator (CPU).
        steps: Steps in all.
        rate: Largest learning rate.
        session: Seed and decay of the average, and where and how often checkpoints are written.
        show: Called after each checkpoint with the averaged weights in the model.
    """
    settings = session.settings
    path = session.work / f"{stage}.pt"
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
        if (step + 1) % session.save_every == 0 or step + 1 == steps:
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
