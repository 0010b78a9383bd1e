"""What a stage is: its options, what it gets, and how it says that it is so far.

Imports no torch, so that a recipe can be checked without.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from synfill.config.recipes.stages import Stage
from synfill.records import JsonObject
from synfill.reporter import Reporter, SilentReporter
from synfill.training.losses.base import Facts, whole_cells
from synfill.training.sampling.order import choose

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import nn

    from synfill.training.images.pixels import ImageSet
    from synfill.training.losses.module import LossModule
    from synfill.training.network.spec import ClassifierSpec
    from synfill.training.stage.checkpoint import Checkpoint, CheckpointFolder


@dataclass(frozen=True, eq=False)
class Images:
    """What a network is trained on.

    Attributes:
        train: The training images, real and synthetic.
        validation: Looked at after every epoch; a stage learns from it only where its kind says
            so. None for none.
        spec: The network, its classes, and how images are shown to it.
    """

    train: ImageSet
    validation: ImageSet | None
    spec: ClassifierSpec

    @property
    def classes(self) -> int:
        """How many there are."""
        return len(self.spec.classes)

    def of(self, stage: Stage) -> ImageSet:
        """The set that a stage learns from; `choose` says which of its images."""
        seen = self.validation if stage.data == "validation" else self.train
        assert seen is not None, "a recipe with such a stage has validation images"
        return seen

    def facts(self, stage: Stage, number: int, stages: int) -> Facts:
        """What is known of a stage before it is trained; number is from 0."""
        seen = self.of(stage)
        cells, cell_classes = whole_cells(seen.labels, seen.cells, self.classes)
        positions = choose(stage.data, seen.synthetic)
        labels, cells = seen.labels[positions], cells[positions]
        return Facts(
            class_counts=np.bincount(labels, minlength=self.classes),
            cell_counts=np.bincount(cells, minlength=len(cell_classes)),
            cell_classes=cell_classes,
            stage=number,
            stages=stages,
        )


@dataclass(frozen=True, eq=False)
class RunContext:
    """Where and how a network is trained through its stages.

    Attributes:
        title: What is trained ("ce, seed 0"), for messages.
        keys: Where each stage's settings are changed ("stages.0"), for advice.
        seed: Decides every random choice.
        accelerator: Where it runs; one for each run.
        checkpoints: Where its state is kept after every epoch.
        epoch_steps: For each stage the optimizer steps that an epoch of its settings (length,
            warm-up, milestones) counts as; None where it is a pass over the stage's own images.
        gradient_accumulation: Parts into which each process's share of a batch is cut.
        channels_last: Whether images are laid out channels-last.
        reporter: Where progress goes, and what is wrong with checkpoints.
        on_epoch: Called after every epoch with the history so far, on the main process.
    """

    title: str
    keys: Sequence[str]
    seed: int
    accelerator: Accelerator
    checkpoints: CheckpointFolder
    epoch_steps: Sequence[int | None] | None = None
    gradient_accumulation: int = 1
    channels_last: bool = False
    reporter: Reporter = field(default_factory=SilentReporter)
    on_epoch: Callable[[Sequence[JsonObject]], None] = lambda history: None


@dataclass(frozen=True, eq=False)
class StageContext:
    """Where and how one stage is trained.

    Attributes:
        run: The run it is a stage of.
        number: Which stage, from 0.
        name: What it is called.
        images: What the network is trained on.
        history: One entry for each epoch so far, of all stages; `record` adds to it.
        resumed: The checkpoint of this very stage that the run goes on from, if there is one; the
            network's weights are its already.
    """

    run: RunContext
    number: int
    name: str
    images: Images
    history: list[JsonObject] = field(default_factory=list)
    resumed: Checkpoint | None = None

    @property
    def key(self) -> str:
        """Where the stage's settings are changed, for advice."""
        return self.run.keys[self.number]

    def derive_seed(self, *purpose: int) -> int:
        """A seed of this stage of this run for a purpose; see `derive_seed`."""
        return derive_seed(self.run.seed, self.number, *purpose)

    def record(
        self,
        entry: JsonObject,
        network: nn.Module,
        shown: nn.Module | None = None,
        optimizer: JsonObject | None = None,
        loss: dict[str, Any] | None = None,
    ) -> None:
        """Measure the validation images after an epoch, and write history and checkpoint.

        Args:
            entry: Of the history: epoch, epochs, step, lr, loss, accuracy, images, seconds and
                images_per_second.
            network: The network.
            shown: The network as it computes here (distributed, compiled), if it isn't itself.
            optimizer: The optimizer's state_dict, of a stage that has one.
            loss: The loss's state_dict, likewise.
        """
        from synfill.evaluation.inference import evaluate
        from synfill.training.stage.checkpoint import Checkpoint

        run, images = self.run, self.images
        whole = {"stage": self.number + 1, "stage_name": self.name, **entry}
        if images.validation is not None:
            found = evaluate(
                shown or network, images.validation, images.spec, run.accelerator, run.channels_last
            )
            whole["validation"] = measure_fit(found, images.validation.labels)
        self.history.append(whole)
        if run.accelerator.is_main_process:
            run.checkpoints.save(
                Checkpoint(
                    self.number, entry["epoch"], entry["step"], network.state_dict(),
                    optimizer or {"state": {}}, self.history, loss or {},
                )
            )  # fmt: skip
            run.on_epoch(self.history)


class TrainedStage(Stage):
    """A kind of stage: its options, and how a network is trained by it.

    A subclass has a `kind` and a `train`. One that learns from validation images says so in its
    description, and has the field `data: Literal["validation", ...]`.
    """

    def train(
        self, network: nn.Module, images: Images, facts: Facts, context: StageContext
    ) -> None:
        """Train a network, in place; on every process alike.

        A stage of several epochs calls `context.record` after each, and goes on from
        `context.resumed`. For one that calls it never (a closed form), an entry and a checkpoint
        are made when it has returned; if it is stopped, it begins anew.

        Args:
            network: On the CPU or the context's device; it is left on the latter.
            images: All images; which of them are the stage's is `data`.
            facts: What is known of the stage's images.
            context: Where it is trained.
        """
        raise NotImplementedError

    def build_loss(self, facts: Facts) -> LossModule | None:
        """What a stage of this kind minimizes step by step; None for nothing."""
        return None


def measure_fit(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> JsonObject:
    """Mean cross-entropy and accuracy; probabilities has the shape (images, classes)."""
    own = probabilities[np.arange(len(labels)), labels]
    return {
        "loss": float(-np.log(np.maximum(own, 1e-12)).mean()),
        "accuracy": float((probabilities.argmax(axis=1) == labels).mean()),
    }


def derive_seed(*parts: int) -> int:
    """One seed of several numbers, 0..2**63 - 1: unrelated for any two different lists."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))
