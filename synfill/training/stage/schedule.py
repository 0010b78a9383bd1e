"""The learning rate at every step of a stage. Pure."""

from __future__ import annotations

import math

from synfill.config.recipes.stages import StageSettings


def total_steps(stage: StageSettings, steps_per_epoch: int) -> int:
    """Optimizer steps of a stage."""
    return stage.steps if stage.steps is not None else (stage.epochs or 0) * steps_per_epoch


def learning_rate(stage: StageSettings, step: int, steps_per_epoch: int) -> float:
    """The learning rate of one step.

    Linear warm-up to `lr` (Goyal et al. 2017); after it constant, or lr (1 + cos(pi t)) / 2 with t
    from 0 to 1 over the rest (Loshchilov & Hutter 2017), or lr gamma^k after k milestones.

    Args:
        stage: The stage.
        step: From 0.
        steps_per_epoch: Optimizer steps an epoch.
    """
    unit = 1 if stage.steps is not None else steps_per_epoch
    warmup = round(stage.units(stage.warmup) * unit)
    if step < warmup:
        return stage.lr * (step + 1) / warmup
    if stage.schedule == "cosine":
        done = (step - warmup) / max(1, total_steps(stage, steps_per_epoch) - warmup)
        return stage.lr * (1 + math.cos(math.pi * min(done, 1))) / 2
    if stage.schedule == "step":
        passed = sum(step >= round(stage.units(value) * unit) for value in stage.milestones)
        return float(stage.lr * stage.gamma**passed)
    return stage.lr
