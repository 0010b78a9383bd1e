"""One seed of one method: network -> stages -> test images, once -> its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from synfill.classifier.save import save_classifier
from synfill.config.recipes.settings import Recipe
from synfill.evaluation.inference import evaluate
from synfill.evaluation.measure import measure
from synfill.evaluation.predictions import Predictions, write_predictions
from synfill.evaluation.results import Result
from synfill.records import JsonObject
from synfill.reporter import Reporter
from synfill.runs.training_folder import SeedFolder
from synfill.training.images.decoding import stored_side
from synfill.training.images.training_data import TrainingData
from synfill.training.network.model import build_model, pretrained_statistics
from synfill.training.network.spec import ClassifierSpec
from synfill.training.plan import MethodPlan
from synfill.training.stage.base import Images, RunContext
from synfill.training.stage.checkpoint import CheckpointFolder
from synfill.training.stage.history import cost_of
from synfill.training.stage.stages import train_stages
from synfill.training.trackers import open_trackers

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True, eq=False)
class Trial:
    """One seed of one method.

    Attributes:
        recipe: The recipe.
        plan: The method.
        seed: The seed.
        data: All the images.
        folder: Where its files go; the main process writes them.
    """

    recipe: Recipe
    plan: MethodPlan
    seed: int
    data: TrainingData
    folder: SeedFolder

    @property
    def title(self) -> str:
        """What it is called in messages."""
        return f"{self.plan.name}, seed {self.seed}"

    @cached_property
    def spec(self) -> ClassifierSpec:
        """What the classifier is."""
        data, model = self.data, self.recipe.model
        mean, std = pretrained_statistics(model) or (data.mean, data.std)
        return ClassifierSpec(
            model=model,
            classes=data.classes,
            image_size=data.image_size,
            stored_size=stored_side(data.image_size),
            mean=mean,
            std=std,
        )

    def run(self, accelerator: Accelerator, trackers: Path, reporter: Reporter) -> Result:
        """Train from the start or the newest checkpoint, test once, and write everything down.

        Args:
            accelerator: Where it runs.
            trackers: Where the trackers' files go.
            reporter: Where progress and warnings go.

        Raises:
            RunError: The loss isn't finite, memory runs out, or the disk is full.
        """
        data, hardware = self.data, self.recipe.hardware
        channels_last = hardware.channels_last
        if channels_last is None:
            channels_last = accelerator.device.type == "cuda"
        network = build_model(self.recipe.model, len(data.classes), data.image_size, self.seed)
        checkpoints = CheckpointFolder(self.folder.checkpoints)
        name = f"{self.plan.name}-seed-{self.seed}"
        chosen = hardware.trackers if accelerator.is_main_process else ()
        with open_trackers(chosen, self.recipe.name, name, trackers) as log:

            def on_epoch(history: Sequence[JsonObject]) -> None:
                self.folder.write_history(history)
                log(history)

            run = RunContext(
                title=self.title,
                keys=self.plan.keys,
                seed=self.seed,
                accelerator=accelerator,
                checkpoints=checkpoints,
                epoch_steps=self.plan.epoch_steps,
                gradient_accumulation=hardware.gradient_accumulation,
                channels_last=channels_last,
                reporter=reporter,
                on_epoch=on_epoch,
            )
            images = Images(data.train, data.validation, self.spec)
            history = train_stages(network, self.plan.stages, images, run)
        # The last epoch's network, whatever the figures say: nothing is chosen by them.
        found = {
            split: evaluate(network, images, self.spec, accelerator, channels_last)
            for split, images in data.measured.items()
        }
        measured = {
            split: measure(found[split], images.labels, images.cells, self.plan.counts)
            for split, images in data.measured.items()
        }
        result = Result(
            self.seed, measured["test"], measured.get("validation"), *cost_of(history),
            tuple(checkpoints.versions),
        )  # fmt: skip
        if accelerator.is_main_process:
            self._save(network.to("cpu"), found, history, result)
        # Nobody begins the next before this one is on disk.
        accelerator.wait_for_everyone()
        if accelerator.device.type == "cuda":
            torch.cuda.empty_cache()
        return result

    def _save(
        self,
        network: nn.Module,
        found: Mapping[str, NDArray[np.float32]],
        history: Sequence[JsonObject],
        result: Result,
    ) -> None:
        data, sets = self.data, self.data.measured
        # A kill between the last checkpoint and its line has left the file one line short.
        self.folder.write_history(history)
        extra: JsonObject = {"recipe": self.recipe.name, "method": self.plan.name}
        save_classifier(self.folder.model, network, self.spec, extra | {"seed": self.seed})
        parts = {
            split: Predictions(sets[split].rows, sets[split].labels, said, sets[split].groups)
            for split, said in found.items()
        }
        path = self.folder.predictions
        write_predictions(path, self.seed, parts, data.classes, data.groups, data.group_values)
        # Last: its existence says that all of it is there.
        result.write(self.folder.result)
        self.folder.tidy()
