"""A stage of stochastic gradient descent, from its first step to its last.

Everything random in an epoch is derived from (seed, stage, epoch) and in a step from (seed, stage,
step), so that a stage which was stopped goes on as if it hadn't been.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from accelerate.utils import broadcast
from numpy.typing import NDArray
from torch import Tensor, nn

from synfill.devices import is_out_of_memory
from synfill.errors import RunError
from synfill.records import JsonObject
from synfill.training.augment.augmenter import Augmenter
from synfill.training.augment.base import Augmentation
from synfill.training.augment.mixes.base import Mix
from synfill.training.images.known import Known
from synfill.training.images.transfer import send
from synfill.training.losses.base import Facts, Targets, whole_cells
from synfill.training.losses.module import CellSums, mixed_hits, mixed_loss
from synfill.training.network.model import (
    choose_trainable,
    freeze_statistics,
    reinit_classifier,
    trainable_parameters,
)
from synfill.training.sampling.base import Epoch, Sampler
from synfill.training.sampling.order import cut_batches, plan_epoch
from synfill.training.stage.base import Images, StageContext
from synfill.training.stage.meter import Meter, StagePlan
from synfill.training.stage.schedule import learning_rate, total_steps
from synfill.training.stage.sgd import Sgd

# What a random number is for: the last part of what it is derived from.
_ORDER, _CHOICE, _STEP, _NETWORK, _CLASSIFIER, _LOSS = range(6)

_MOST_ENTRIES = 1000
"""Entries of the history, and so checkpoints, of a stage that counts in steps."""


def descend(
    stage: Sgd, network: nn.Module, images: Images, facts: Facts, context: StageContext
) -> None:
    """Train a network by a stage, in place, from its start or from `context.resumed`.

    Args:
        stage: What is done.
        network: The network.
        images: All images.
        facts: What is known of the stage's.
        context: Where it is trained.

    Raises:
        RunError: The loss is not finite; memory runs out; a checkpoint can't be written.
    """
    descent = _Descent(stage, network, images, facts, context)
    with _enough_memory(descent.plan, descent.batch_size, images.spec.image_size):
        descent.prepare()
        while descent.epochs_done < descent.plan.epochs:
            entry = descent.train_epochs()
            descent.share_statistics()
            context.record(
                entry,
                network,
                descent.shown,
                descent.plain_optimizer.state_dict(),
                descent.loss.state_dict(),
            )
        descent.unwrap()


@contextmanager
def _enough_memory(plan: StagePlan, batch_size: int, side: int) -> Iterator[None]:
    """Says what to lower where memory runs out."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise RunError(
            f"{plan.title}: memory ran out in stage '{plan.name}', which takes {batch_size:,} "
            f"images of {side:,} x {side:,} pixels at a time.",
            "Cut the batches into parts, which changes the results by rounding only "
            "(hardware.gradient_accumulation=4, or more), or set a smaller "
            f"{plan.key}.batch_size or data.image_size. With another --out or --overwrite: these "
            "are other settings.",
        ) from error


class _Descent:
    """A stage in progress.

    Attributes:
        plan: The stage in figures.
        batch_size: Images a step, over all processes.
        epochs_done: Epochs that are done.
        steps_done: Optimizer steps that are done.
        loss: What is minimized.
        shown: The network as it computes here, after `prepare`.
        plain_optimizer: The optimizer, after `prepare`.
    """

    def __init__(
        self, stage: Sgd, network: nn.Module, images: Images, facts: Facts, context: StageContext
    ) -> None:
        self.stage, self.network, self.context = stage, network, context
        self.accelerator = context.run.accelerator
        world = self.accelerator.num_processes
        self.pixels = images.train.pixels
        epoch = plan_epoch(stage, images.train, world)
        self.positions, self.batch_size, shares = epoch.positions, epoch.batch_size, epoch.shares
        self.seen = images.train.take(self.positions)
        cells, _ = whole_cells(images.train.labels, images.train.cells, images.classes)
        self.known = Known(images.train.labels, cells, images.train.synthetic)
        # What an epoch of the settings is; not always a pass over the images.
        counted = context.run.epoch_steps
        epoch_steps = counted[context.number] if counted else None
        self.unit = epoch_steps or len(shares)
        steps = total_steps(stage, self.unit)
        self.plan = StagePlan(
            context.run.title,
            context.key,
            name=context.name,
            stage=stage,
            steps=steps,
            epochs=math.ceil(steps / len(shares)),
            steps_per_epoch=len(shares),
            images_per_epoch=world * sum(shares),
        )
        # One epoch shares an entry of the history and a checkpoint with no other, but where a
        # stage that counts in steps has thousands of passes over a few images: writing would take
        # longer than training.
        counts_in_steps = stage.steps is not None or epoch_steps is not None
        self.epochs_an_entry = -(-self.plan.epochs // _MOST_ENTRIES) if counts_in_steps else 1
        self.epochs_done = self.steps_done = 0
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(context.derive_seed(_LOSS))
            self.loss = stage.build_loss(replace(facts, epochs=self.plan.epochs))
        self.cells = len(facts.cell_counts)
        self.augment = Augmenter(cast(Augmentation, stage.augment), images.spec)
        self.mix = cast(Mix, stage.complete(stage.mix)).build()
        device = self.accelerator.device
        self.targets = Targets(
            torch.from_numpy(self.known.labels).to(device), torch.from_numpy(cells).to(device)
        )

    def prepare(self) -> None:
        """Bring network, loss and optimizer to where the stage begins or goes on."""
        stage, network, resumed = self.stage, self.network, self.context.resumed
        if stage.reinit_classifier and resumed is None:
            reinit_classifier(network, self.context.derive_seed(_CLASSIFIER))
        choose_trainable(network, stage.trainable)
        network.to(self.accelerator.device)
        self.loss.to(self.accelerator.device)
        parameters = [*trainable_parameters(network), *self.loss.parameters()]
        self.plain_optimizer = _make_optimizer(stage, parameters)
        if resumed is not None:
            # Its tensors alone: what the settings are is the recipe's to say.
            groups = self.plain_optimizer.state_dict()["param_groups"]
            state = resumed.optimizer["state"]
            self.plain_optimizer.load_state_dict({"state": state, "param_groups": groups})
            self.loss.load_state_dict(resumed.loss)
            self.epochs_done, self.steps_done = resumed.epoch, resumed.step
        self.shown, self.optimizer = self.accelerator.prepare(network, self.plain_optimizer)
        reporter = self.context.run.reporter
        self.meter = Meter(self.plan, self.accelerator, self.steps_done, reporter)

    def train_epochs(self) -> JsonObject:
        """The epochs of one entry of the history, the last one as far as the stage's steps go."""
        done, together = self.epochs_done, self.epochs_an_entry
        end = min(done - done % together + together, self.plan.epochs)
        self.network.train()
        freeze_statistics(self.network)
        started = time.monotonic()
        self.meter.begin()
        for epoch in range(done, end):
            self.meter.begin_epoch(epoch)
            self.loss.on_epoch(epoch)
            rate = self._train_epoch(epoch)
        self.epochs_done = end
        total, right, seen = self.meter.end(self.steps_done)
        seconds = time.monotonic() - started
        return {
            "epoch": end,
            "epochs": self.plan.epochs,
            "step": self.steps_done,
            "lr": rate,
            "loss": total / seen,
            "accuracy": right / seen,
            "images": seen,
            "seconds": round(seconds, 3),
            "images_per_second": round(seen / max(seconds, 1e-9), 1),
        }

    def share_statistics(self) -> None:
        """Every process goes on with the first one's BatchNorm statistics: those that are saved.

        DistributedDataParallel does this only before a batch, so that after the last one each
        process would measure its images with another network.
        """
        if self.accelerator.num_processes > 1:
            for buffer in self.network.buffers():
                broadcast(buffer)

    def unwrap(self) -> None:
        """Take the wrappers (mixed precision, several processes, compile) off the network."""
        self.accelerator.unwrap_model(self.shown, keep_fp32_wrapper=False, keep_torch_compile=False)
        self.accelerator.free_memory()

    def _draw_order(self, epoch: int) -> NDArray[np.int64]:
        seed, number = self.context.run.seed, self.context.number
        this = Epoch(
            epoch,
            generator=np.random.default_rng([seed, number, _ORDER, epoch]),
            fixed=np.random.default_rng([seed, number, _CHOICE]),
        )
        drawn = cast(Sampler, self.stage.sampling).draw(self.seen, this)
        order: NDArray[np.int64] = self.positions[drawn]
        return order

    def _train_epoch(self, epoch: int) -> float:
        """One epoch, or what is left of the stage's steps; the last learning rate."""
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        # Dropout and the like draw from torch's own generator.
        torch.manual_seed(self.context.derive_seed(_NETWORK, epoch, rank))
        left = self.plan.steps - self.steps_done
        mine = cut_batches(self._draw_order(epoch), self.batch_size, rank, world)[:left]
        rate = self.stage.lr
        for positions, pixels in zip(mine, self.pixels.batches(mine), strict=True):
            rate = learning_rate(self.stage, self.steps_done, self.unit)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            loss, hits = self._step(positions, pixels)
            self.steps_done += 1
            self.meter.count(loss, hits, len(positions), self.steps_done)
        return rate

    def _step(self, positions: NDArray[np.int64], pixels: Tensor) -> tuple[Tensor, Tensor]:
        """One optimizer step; the batch's mean loss and how many were right, on the device."""
        accelerator, device = self.accelerator, self.accelerator.device
        generator = torch.Generator()
        rank = accelerator.process_index
        generator.manual_seed(self.context.derive_seed(_STEP, self.steps_done, rank))
        known = self.known.take(positions)
        mixed = self.mix(self.augment(pixels, generator), known, generator)
        own = self.targets.take(send(torch.from_numpy(positions), device))
        partners = own.take(mixed.partners)
        shown = mixed.images
        if self.context.run.channels_last:
            shown = shown.contiguous(memory_format=torch.channels_last)
        sums = CellSums(self.cells, device) if self.loss.sees_cell_sums else None
        self.optimizer.zero_grad(set_to_none=True)
        losses, hits = [], []
        parts = cut_parts(len(positions), self.context.run.gradient_accumulation)
        for part in parts:
            syncs = part is parts[-1]
            with nullcontext() if syncs else accelerator.no_sync(self.shown):
                logits = self.shown(shown[part]).float()
                its, theirs = own.take(part), partners.take(part)
                loss = mixed_loss(self.loss, logits, its, theirs, mixed.weight, sums)
                share = (part.stop - part.start) / len(positions)
                accelerator.backward(loss * share)
            losses.append(loss.detach() * share)
            hits.append(mixed_hits(logits, its, theirs, mixed.weight))
        self._share_gradients()
        self.optimizer.step()
        if sums is not None:
            self.loss.on_step(*accelerator.reduce(sums.both, reduction="sum"))
        return torch.stack(losses).sum(), torch.stack(hits).sum()

    def _share_gradients(self) -> None:
        """Those of the loss, over all processes; the network's are its wrapper's business."""
        if self.accelerator.num_processes > 1:
            for parameter in self.loss.parameters():
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                parameter.grad = self.accelerator.reduce(parameter.grad, reduction="mean")


def _make_optimizer(stage: Sgd, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    # Fused: one call for all tensors, where small networks otherwise spend much of their time.
    settings: dict[str, Any] = {
        "lr": stage.lr,
        "weight_decay": stage.weight_decay,
        "fused": parameters[0].device.type in ("cpu", "cuda"),
    }
    if stage.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, momentum=stage.momentum, nesterov=stage.nesterov, **settings
        )
    if stage.optimizer == "adam":
        return torch.optim.Adam(parameters, **settings)
    return torch.optim.AdamW(parameters, **settings)


def cut_parts(count: int, parts: int) -> list[slice]:
    """A batch in parts of nearly the same size: fewer of them where a part would be one image,
    on which BatchNorm can't train.
    """
    ends = np.linspace(0, count, max(1, min(parts, count // 2)) + 1).round().astype(int).tolist()
    return [slice(start, end) for start, end in itertools.pairwise(ends)]
