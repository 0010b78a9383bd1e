"""One seed of one method: network -> stages -> test images, once -> its folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from synfill.classifier.save import save_classifier
from synfill.config.training import Recipe
from synfill.evaluation.inference import Preprocessing, evaluate
from synfill.evaluation.measure import measure
from synfill.evaluation.predictions import Predictions, write_predictions
from synfill.evaluation.results import Result
from synfill.records import JsonObject
from synfill.reporter import Reporter
from synfill.runs.training_folder import SeedFolder
from synfill.training.images.pixels import ImageSet
from synfill.training.images.training_data import TrainingData
from synfill.training.network.model import build_model, pretrained_statistics
from synfill.training.plan import MethodPlan
from synfill.training.stage.base import Images, RunContext
from synfill.training.stage.checkpoint import CheckpointFolder
from synfill.training.stage.history import cost_of
from synfill.training.stage.meter import LoopProgress
from synfill.training.stage.stages import train_stages
from synfill.training.trackers import Trackers

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
    def preprocessing(self) -> Preprocessing:
        """How images are shown to the network."""
        statistics = pretrained_statistics(self.recipe.model) or (self.data.mean, self.data.std)
        return Preprocessing(self.data.image_size, *statistics)

    def run(self, accelerator: Accelerator, trackers: Path, reporter: Reporter) -> Result:
        """Train from the start or the newest checkpoint, test once, and write everything down.

        Args:
            accelerator: Where it runs.
            trackers: Where the trackers' files go.
            reporter: Where progress and warnings go.

        Raises:
            RunError: The loss isn't finite, memory runs out, or the disk is full.
        """
        data, is_main = self.data, accelerator.is_main_process
        channels_last = self.recipe.hardware.channels_last
        if channels_last is None:
            channels_last = accelerator.device.type == "cuda"
        model = build_model(self.recipe.model, len(data.classes), data.image_size, self.seed)
        checkpoints = CheckpointFolder(self.folder.checkpoints)
        history = self._train(model, accelerator, checkpoints, channels_last, trackers, reporter)
        # The last epoch's network, whatever the figures say: nothing is chosen by them.
        sets = {"test": data.test}
        if data.validation is not None:
            sets["validation"] = data.validation
        found = {
            split: evaluate(
                model, images, self.preprocessing, len(data.classes), accelerator, channels_last
            )
            for split, images in sets.items()
        }
        measured = {
            split: measure(probabilities, sets[split].labels, sets[split].cells, self.plan.counts)
            for split, probabilities in found.items()
        }
        steps, images_seen, seconds = cost_of(history)
        result = Result(
            seed=self.seed,
            test=measured["test"],
            validation=measured.get("validation"),
            steps=steps,
            images_seen=images_seen,
            seconds=seconds,
            versions=tuple(checkpoints.versions),
        )
        if is_main:
            self._save(model.to("cpu"), sets, found, history, result)
        # Nobody begins the next before this one is on disk.
        accelerator.wait_for_everyone()
        if accelerator.device.type == "cuda":
            torch.cuda.empty_cache()
        return result

    def _train(
        self,
        model: nn.Module,
        accelerator: Accelerator,
        checkpoints: CheckpointFolder,
        channels_last: bool,
        trackers: Path,
        reporter: Reporter,
    ) -> list[JsonObject]:
        """Train the network through the stages, in place; the history."""
        hardware = self.recipe.hardware
        name = f"{self.plan.name}-seed-{self.seed}"
        chosen = hardware.trackers if accelerator.is_main_process else ()
        with Trackers(chosen, self.recipe.name, name, trackers) as tracking:

            def on_epoch(history: Sequence[JsonObject]) -> None:
                self.folder.write_history(history)
                tracking.log(history)

            data = self.data
            images = Images(data.train, data.validation, self.preprocessing, len(data.classes))
            run = RunContext(
                title=self.title,
                keys=self.plan.keys,
                seed=self.seed,
                accelerator=accelerator,
                checkpoints=checkpoints,
                epoch_steps=self.plan.epoch_steps,
                gradient_accumulation=hardware.gradient_accumulation,
                channels_last=channels_last,
                on_progress=lambda progress: self._show(progress, reporter),
                on_epoch=on_epoch,
                on_warning=lambda text: reporter.warn(f"{self.title}: {text}"),
            )
            return train_stages(model, self.plan.stages, images, run)

    def _show(self, progress: LoopProgress, reporter: Reporter) -> None:
        reporter.progress(
            f"{self.title}, {progress.stage}",
            progress.done,
            progress.total,
            f"epoch {progress.epoch} of {progress.epochs}, loss {progress.loss:.3f}, "
            f"accuracy {progress.accuracy:.1%}",
            progress.images_per_second,
            progress.seconds_left,
        )

    def _save(
        self,
        model: nn.Module,
        sets: dict[str, ImageSet],
        found: dict[str, NDArray[np.float32]],
        history: Sequence[JsonObject],
        result: Result,
    ) -> None:
        data, shown = self.data, self.preprocessing
        # A kill between the last checkpoint and its line has left the file one line short.
        self.folder.write_history(history)
        save_classifier(
            self.folder.model,
            model,
            self.recipe.model,
            data.classes,
            shown.image_size,
            shown.mean,
            shown.std,
            {"recipe": self.recipe.name, "method": self.plan.name, "seed": self.seed},
        )
        write_predictions(
            self.folder.predictions,
            [
                Predictions(
                    split, self.seed, images.rows, images.labels, images.groups, found[split]
                )
                for split, images in sets.items()
            ],
            data.classes,
            data.groups,
            data.group_values,
        )
        # Last: its existence says that all of it is there.
        result.write(self.folder.result)
        self.folder.tidy()
