"""One training run: a network through its stages, from its newest checkpoint if there is one.

Everything random is derived from the seed, the stage, the epoch and the step, so that a run which
was stopped goes on as if it hadn't been. Knows neither the recipe nor where images come from.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import cast

import torch
from torch import nn

from synfill.config.recipes.stages import Stage, StageSettings
from synfill.errors import UsageError
from synfill.evaluation.inference import evaluate
from synfill.records import JsonObject
from synfill.training.losses.base import Loss
from synfill.training.network.cosine import use_cosine_classifier
from synfill.training.sampling.order import choose
from synfill.training.stage.base import (
    Images,
    RunContext,
    StageContext,
    TrainedStage,
    measure_fit,
)
from synfill.training.stage.checkpoint import check_checkpoint


def train_stages(
    network: nn.Module, stages: Sequence[Stage], images: Images, run: RunContext
) -> list[JsonObject]:
    """Train a network through its stages, in place.

    Args:
        network: The network, as it starts.
        stages: What is done, in order.
        images: What it is trained on.
        run: Where and how.

    Returns:
        The history: one entry for each epoch of each stage (one for several where a stage that
        counts in steps has more than 1,000).

    Raises:
        UsageError: A loss needs another last layer than the network has.
        RunError: The loss is not finite; memory runs out; a checkpoint can't be written.
    """
    kinds = [cast(TrainedStage, stage) for stage in stages]
    facts = [images.facts(stage, number, len(stages)) for number, stage in enumerate(stages)]
    if scale := _cosine_scale(stages):
        use_cosine_classifier(network, scale)
    held = sum(tensor.nbytes for tensor in network.state_dict().values())
    checkpoint = run.checkpoints.load(
        lambda found: check_checkpoint(
            found, network, stages, lambda number: kinds[number].build_loss(facts[number])
        ),
        lambda text: run.reporter.warn(f"{run.title}: {text}"),
        # An optimizer holds two numbers more for each weight, at most.
        largest=8 * held + (64 << 20),
    )
    history: list[JsonObject] = []
    if checkpoint is not None:
        network.load_state_dict(checkpoint.weights)
        history = checkpoint.history
    if run.channels_last:
        network.to(memory_format=torch.channels_last)
    network.to(run.accelerator.device)
    first = checkpoint.stage if checkpoint is not None else 0
    for number, stage in enumerate(kinds[first:], start=first):
        resumed = checkpoint if number == first else None
        if resumed is not None and history[-1]["epoch"] == history[-1]["epochs"]:
            continue
        name = stage.name or f"stage-{number + 1}"
        context = StageContext(run, number, name, images, history, resumed)
        before, started = len(history), time.monotonic()
        stage.train(network, images, facts[number], context)
        if len(history) == before:
            _record_closed_form(stage, network, context, time.monotonic() - started)
    return history


def _cosine_scale(stages: Sequence[Stage]) -> float | None:
    """The factor of the cosine classifier that the stages' losses ask for, if they do."""
    losses = [s.complete(s.loss) for s in stages if isinstance(s, StageSettings)]
    scales = {str(one): scale for one in losses if (scale := cast(Loss, one).cosine_scale)}
    if len(set(scales.values())) > 1:
        raise UsageError(
            f"The losses {' and '.join(scales)} need cosine classifiers of different scales.",
            "Give all stages of a method the same.",
        )
    return next(iter(scales.values()), None)


def _record_closed_form(
    stage: Stage, network: nn.Module, context: StageContext, seconds: float
) -> None:
    """The one entry of a stage that has no epochs: how the network fits the stage's images."""
    images, run = context.images, context.run
    seen = images.of(stage)
    positions = choose(stage.data, seen.synthetic)
    found = evaluate(network, seen, images.spec, run.accelerator, run.channels_last)
    labels = seen.labels[positions]
    context.record(
        {
            "epoch": 1,
            "epochs": 1,
            "step": 1,
            "lr": 0.0,
            **measure_fit(found[positions], labels),
            "images": len(labels),
            "seconds": round(seconds, 3),
            "images_per_second": round(len(labels) / max(seconds, 1e-9), 1),
        },
        network,
    )
