"""One training run: a network through its stages, from its newest checkpoint if there is one.

Everything random in an epoch is derived from (seed, stage, epoch) and in a step from (seed, stage,
step), so that a run which was stopped goes on as if it hadn't been. Takes plain arguments; knows
neither the recipe nor where the images come from.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate.utils import broadcast
from numpy.typing import NDArray
from torch import Tensor, nn

from synfill.config.training import StageSettings
from synfill.devices import is_out_of_memory
from synfill.errors import RunError
from synfill.evaluation.inference import Preprocessing, evaluate
from synfill.records import JsonObject
from synfill.training.augment.augmenter import Augmenter
from synfill.training.augment.mixing import mix
from synfill.training.images.pixels import ImageSet
from synfill.training.images.transfer import send
from synfill.training.losses.base import Loss, Targets, make_loss, mixed_hits, mixed_loss
from synfill.training.network.model import (
    choose_trainable,
    freeze_statistics,
    reinit_classifier,
    trainable_parameters,
)
from synfill.training.sampling.order import batch_size_of, choose, cut_batches, epoch_positions
from synfill.training.stage.checkpoint import Checkpoint, CheckpointFolder, check_checkpoint
from synfill.training.stage.meter import LoopProgress, Meter, StagePlan
from synfill.training.stage.schedule import learning_rate, total_steps

if TYPE_CHECKING:
    from accelerate import Accelerator

# What a random number is for: the last part of what it is derived from.
_ORDER, _CHOICE, _STEP, _NETWORK, _CLASSIFIER = range(5)

_MOST_ENTRIES = 1000
"""Entries of the history, and so checkpoints, of a stage that counts in steps."""


def derive_seed(*parts: int) -> int:
    """One seed of several numbers, 0..2**63 - 1: unrelated for any two different lists."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))


def train_stages(
    model: nn.Module,
    stages: Sequence[StageSettings],
    train: ImageSet,
    validation: ImageSet | None,
    preprocessing: Preprocessing,
    classes: int,
    *,
    title: str,
    keys: Sequence[str],
    seed: int,
    accelerator: Accelerator,
    checkpoints: CheckpointFolder,
    epoch_steps: Sequence[int | None] | None = None,
    gradient_accumulation: int = 1,
    channels_last: bool = False,
    on_progress: Callable[[LoopProgress], None] = lambda progress: None,
    on_epoch: Callable[[Sequence[JsonObject]], None] = lambda history: None,
    on_warning: Callable[[str], None] = lambda message: None,
) -> list[JsonObject]:
    """Train a network through its stages, in place.

    Args:
        model: The network, as it starts.
        stages: What is done, in order.
        train: The training images, real and synthetic.
        validation: Looked at after every epoch and never used for a choice; or None.
        preprocessing: How images become what the network sees.
        classes: How many there are.
        title: What is trained ("ce, seed 0"), for messages.
        keys: Where each stage's settings are changed ("stages.0"), for advice.
        seed: Decides every random choice.
        accelerator: Where it runs; one for each run.
        checkpoints: Where its state is kept after every epoch.
        epoch_steps: For each stage the optimizer steps that an epoch of its settings (length,
            warm-up, milestones) counts as; None where it is a pass over the stage's own images.
        gradient_accumulation: Parts into which each process's share of a batch is cut.
        channels_last: Lay images out channels-last.
        on_progress: Called twice a second, on the main process.
        on_epoch: Called after every epoch with the history so far, on the main process.
        on_warning: Told of damaged checkpoints, and of libraries that are others since the last
            one; on every process.

    Returns:
        The history: one entry for each epoch of each stage (one for several where a stage that
        counts in steps has more than 1,000).

    Raises:
        RunError: The loss is not finite; memory runs out; a checkpoint can't be written.
    """
    history: list[JsonObject] = []
    held = sum(tensor.nbytes for tensor in model.state_dict().values())
    checkpoint = checkpoints.load(
        lambda found: check_checkpoint(found, model, stages),
        on_warning,
        # An optimizer holds two numbers more for each weight, at most.
        largest=8 * held + (64 << 20),
    )
    if checkpoint is not None:
        model.load_state_dict(checkpoint.weights)
        history = checkpoint.history
    if channels_last:
        model.to(memory_format=torch.channels_last)
    first = checkpoint.stage if checkpoint is not None else 0
    for number, stage in enumerate(stages[first:], start=first):
        run = _StageRun(
            model, stage, number, train, validation, preprocessing, classes, title, keys[number],
            seed, accelerator, checkpoints, epoch_steps[number] if epoch_steps else None,
            gradient_accumulation, channels_last, on_progress, on_epoch, history,
        )  # fmt: skip
        with _enough_memory(run.plan, run.batch_size, preprocessing.image_size):
            run.run(checkpoint if number == first else None)
    return history


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


def _make_optimizer(stage: StageSettings, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    # Fused: one call for all tensors, where small networks otherwise spend much of their time.
    fused = parameters[0].device.type in ("cpu", "cuda")
    if stage.optimizer == "sgd":
        return torch.optim.SGD(
            parameters,
            lr=stage.lr,
            momentum=stage.momentum,
            nesterov=stage.nesterov,
            weight_decay=stage.weight_decay,
            fused=fused,
        )
    adaptive = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[stage.optimizer]
    optimizer: torch.optim.Optimizer = adaptive(
        parameters, lr=stage.lr, weight_decay=stage.weight_decay, fused=fused
    )
    return optimizer


@dataclass
class _StageRun:
    """One stage of one run; the fields are `train_stages`' arguments."""

    model: nn.Module
    stage: StageSettings
    number: int
    train: ImageSet
    validation: ImageSet | None
    preprocessing: Preprocessing
    classes: int
    title: str
    key: str
    seed: int
    accelerator: Accelerator
    checkpoints: CheckpointFolder
    epoch_steps: int | None
    gradient_accumulation: int
    channels_last: bool
    on_progress: Callable[[LoopProgress], None]
    on_epoch: Callable[[Sequence[JsonObject]], None]
    history: list[JsonObject]

    def __post_init__(self) -> None:
        self.positions = choose(self.stage.data, self.train.synthetic)
        order = self._epoch_order(0)
        self.batch_size = batch_size_of(self.stage, len(order))
        world = self.accelerator.num_processes
        shares = cut_batches(order, self.batch_size, 0, world)
        # What an epoch of the settings is; not always a pass over the images.
        self.unit = self.epoch_steps or len(shares)
        steps = total_steps(self.stage, self.unit)
        self.plan = StagePlan(
            self.title,
            self.key,
            name=self.stage.name or f"stage-{self.number + 1}",
            stage=self.stage,
            steps=steps,
            epochs=math.ceil(steps / len(shares)),
            steps_per_epoch=len(shares),
            images_per_epoch=world * sum(map(len, shares)),
        )
        self.loss: Loss = make_loss(self.stage)
        self.augmenter = Augmenter(
            self.stage.augment,
            self.preprocessing.image_size,
            self.preprocessing.mean,
            self.preprocessing.std,
        )
        device = self.accelerator.device
        self.labels = torch.from_numpy(self.train.labels).to(device)
        self.cells = torch.from_numpy(self.train.cells).to(device)
        self.synthetic = torch.from_numpy(self.train.synthetic)

    def run(self, checkpoint: Checkpoint | None) -> None:
        """Train from the stage's start, or from a checkpoint that was made in it."""
        if self.stage.reinit_classifier and checkpoint is None:
            reinit_classifier(self.model, derive_seed(self.seed, self.number, _CLASSIFIER))
        choose_trainable(self.model, self.stage.trainable)
        self.model.to(self.accelerator.device)
        optimizer = _make_optimizer(self.stage, trainable_parameters(self.model))
        done, step = 0, 0
        if checkpoint is not None:
            # Its tensors alone: what the settings are is the recipe's to say.
            groups = optimizer.state_dict()["param_groups"]
            state = checkpoint.optimizer["state"]
            optimizer.load_state_dict({"state": state, "param_groups": groups})
            done, step = checkpoint.epoch, checkpoint.step
        network, prepared = self.accelerator.prepare(self.model, optimizer)
        meter = Meter(self.plan, self.accelerator, step, self.on_progress)
        while done < self.plan.epochs:
            end = min(done - done % self._together + self._together, self.plan.epochs)
            entry, step = self._run_epochs(network, prepared, range(done, end), step, meter)
            done = end
            self._share_statistics()
            if self.validation is not None:
                entry["validation"] = self._validate(network)
            self.history.append(entry)
            if self.accelerator.is_main_process:
                self.checkpoints.save(
                    Checkpoint(
                        self.number, done, step, self.model.state_dict(),
                        optimizer.state_dict(), self.history,
                    )
                )  # fmt: skip
                self.on_epoch(self.history)
        # Takes the wrappers (mixed precision, several processes, compile) off again.
        self.accelerator.unwrap_model(network, keep_fp32_wrapper=False, keep_torch_compile=False)
        self.accelerator.free_memory()

    def _share_statistics(self) -> None:
        """Every process goes on with the first one's BatchNorm statistics: those that are saved.

        DistributedDataParallel does this only before a batch, so that after the last one each
        process would measure its images with another network.
        """
        if self.accelerator.num_processes > 1:
            for buffer in self.model.buffers():
                broadcast(buffer)

    def _epoch_order(self, epoch: int) -> NDArray[np.int64]:
        return epoch_positions(
            self.stage.sampling,
            self.positions,
            self.train.labels,
            self.train.cells,
            self.classes,
            np.random.default_rng([self.seed, self.number, _ORDER, epoch]),
            np.random.default_rng([self.seed, self.number, _CHOICE]),
        )

    @property
    def _together(self) -> int:
        """Passes over the images that share an entry of the history and a checkpoint.

        One, but where a stage that counts in steps has thousands of passes over a few images:
        writing would take longer than training.
        """
        counts_in_steps = self.stage.steps is not None or self.epoch_steps is not None
        return -(-self.plan.epochs // _MOST_ENTRIES) if counts_in_steps else 1

    def _run_epochs(
        self, network: nn.Module, optimizer: Any, epochs: range, step: int, meter: Meter
    ) -> tuple[JsonObject, int]:
        """Some epochs, the last one as far as the stage's steps go; their entry, the steps so
        far.
        """
        self.model.train()
        freeze_statistics(self.model)
        started = time.monotonic()
        rate = self.stage.lr
        meter.begin()
        for epoch in epochs:
            meter.begin_epoch(epoch)
            rate, step = self._run_epoch(network, optimizer, epoch, step, meter)
        total, right, seen = meter.end(step)
        seconds = time.monotonic() - started
        return {
            "stage": self.number + 1,
            "stage_name": self.plan.name,
            "epoch": epochs.stop,
            "epochs": self.plan.epochs,
            "step": step,
            "lr": rate,
            "loss": total / seen,
            "accuracy": right / seen,
            "images": seen,
            "seconds": round(seconds, 3),
            "images_per_second": round(seen / max(seconds, 1e-9), 1),
        }, step

    def _run_epoch(
        self, network: nn.Module, optimizer: Any, epoch: int, step: int, meter: Meter
    ) -> tuple[float, int]:
        """One epoch, or what is left of the stage's steps; the last rate, the steps so far."""
        rank = self.accelerator.process_index
        # Dropout and the like draw from torch's own generator.
        torch.manual_seed(derive_seed(self.seed, self.number, _NETWORK, epoch, rank))
        steps = min(self.plan.steps_per_epoch, self.plan.steps - step)
        order = self._epoch_order(epoch)
        mine = cut_batches(order, self.batch_size, rank, self.accelerator.num_processes)[:steps]
        rate = self.stage.lr
        for positions, images in zip(mine, self.train.pixels.batches(mine), strict=True):
            rate = learning_rate(self.stage, step, self.unit)
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss, hits = self._step(network, optimizer, positions, images, step, rank)
            step += 1
            meter.count(loss, hits, len(positions), step)
        return rate, step

    def _step(
        self,
        network: nn.Module,
        optimizer: Any,
        positions: NDArray[np.int64],
        images: Tensor,
        step: int,
        rank: int,
    ) -> tuple[Tensor, Tensor]:
        """One optimizer step; the batch's mean loss and how many were right, on the device."""
        device = self.accelerator.device
        generator = torch.Generator()
        generator.manual_seed(derive_seed(self.seed, self.number, _STEP, step, rank))
        index = torch.from_numpy(positions)
        shown = self.augmenter(images, generator)
        mixed = mix(shown, self.synthetic[index], self.stage.mix, self.stage.alpha, generator)
        index = send(index, device)
        own = Targets(self.labels[index], self.cells[index])
        partners = own.take(mixed.partners)
        shown = mixed.images
        if self.channels_last:
            shown = shown.contiguous(memory_format=torch.channels_last)
        optimizer.zero_grad(set_to_none=True)
        losses, hits = [], []
        parts = cut_parts(len(positions), self.gradient_accumulation)
        for part in parts:
            syncs = part is parts[-1]
            with nullcontext() if syncs else self.accelerator.no_sync(network):
                logits = network(shown[part]).float()
                its, theirs = (Targets(t.labels[part], t.cells[part]) for t in (own, partners))
                loss = mixed_loss(self.loss, logits, its, theirs, mixed.weight)
                share = (part.stop - part.start) / len(positions)
                self.accelerator.backward(loss * share)
            losses.append(loss.detach() * share)
            hits.append(mixed_hits(logits, its, theirs, mixed.weight))
        optimizer.step()
        return torch.stack(losses).sum(), torch.stack(hits).sum()

    def _validate(self, network: nn.Module) -> JsonObject:
        assert self.validation is not None
        probabilities = evaluate(
            network, self.validation, self.preprocessing, self.classes, self.accelerator,
            self.channels_last,
        )  # fmt: skip
        labels = self.validation.labels
        own = probabilities[np.arange(len(labels)), labels]
        return {
            "loss": float(-np.log(np.maximum(own, 1e-12)).mean()),
            "accuracy": float((probabilities.argmax(axis=1) == labels).mean()),
        }


def cut_parts(count: int, parts: int) -> list[slice]:
    """A batch in parts of nearly the same size: fewer of them where a part would be one image,
    on which BatchNorm can't train.
    """
    ends = np.linspace(0, count, max(1, min(parts, count // 2)) + 1).round().astype(int).tolist()
    return [slice(start, end) for start, end in itertools.pairwise(ends)]
