"""One seed of one method: network -> stages -> test images, once -> its folder.

Takes the data as it was gathered; knows neither the recipe nor the other seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from synfill.classifier.classifier import save_classifier
from synfill.config.training import HardwareSettings, ModelSettings, StageSettings
from synfill.evaluation.inference import Preprocessing, evaluate
from synfill.evaluation.metrics import TrainCounts, measure
from synfill.evaluation.predictions import Predictions, write_predictions
from synfill.evaluation.results import Result
from synfill.records import JsonObject
from synfill.reporter import Reporter
from synfill.runs.training_folder import SeedFolder
from synfill.training.images.pixels import ImageSet
from synfill.training.network.model import build_model, pretrained_statistics
from synfill.training.stage.checkpoint import CheckpointFolder
from synfill.training.stage.history import cost_of
from synfill.training.stage.loop import train_stages
from synfill.training.stage.meter import LoopProgress
from synfill.training.trackers import Trackers

if TYPE_CHECKING:
    from accelerate import Accelerator

    from synfill.training.images.gather import TrainingData


@dataclass(frozen=True, eq=False)
class Trial:
    """One seed of one method.

    Attributes:
        recipe: The recipe's name.
        method: The method's name.
        seed: The seed.
        model: Which network.
        stages: What is done with it.
        keys: Where the recipe has each stage's settings ("stages.0"), for advice.
        epoch_steps: For each stage the optimizer steps that an epoch counts as; None where it is
            a pass over the stage's own images.
        hardware: How it is computed.
        counts: What the method trains on.
        data: All the images.
    """

    recipe: str
    method: str
    seed: int
    model: ModelSettings
    stages: Sequence[StageSettings]
    keys: Sequence[str]
    epoch_steps: Sequence[int | None]
    hardware: HardwareSettings
    counts: TrainCounts
    data: TrainingData

    def run(
        self, accelerator: Accelerator, folder: SeedFolder, trackers: Path, reporter: Reporter
    ) -> Result:
        """Train from the start or the newest checkpoint, test once, and write everything down.

        Args:
            accelerator: Where it runs.
            folder: Where its files go; the main process writes them.
            trackers: Where the trackers' files go.
            reporter: Told how far it is.

        Raises:
            RunError: The loss isn't finite, memory runs out, or the disk is full.
        """
        data, is_main = self.data, accelerator.is_main_process
        channels_last = self.hardware.channels_last
        if channels_last is None:
            channels_last = accelerator.device.type == "cuda"
        mean, std = pretrained_statistics(self.model) or (data.mean, data.std)
        preprocessing = Preprocessing(data.image_size, mean, std)
        model = build_model(self.model, len(data.classes), data.image_size, self.seed)
        tracking = None
        if is_main and self.hardware.trackers:
            name = f"{self.method}-seed-{self.seed}"
            tracking = Trackers(self.hardware.trackers, self.recipe, name, trackers)

        def on_epoch(history: Sequence[JsonObject]) -> None:
            folder.write_history(history)
            if tracking is not None:
                tracking.log(history)

        checkpoints = CheckpointFolder(folder.checkpoints)
        history = train_stages(
            model,
            self.stages,
            data.train,
            data.validation,
            preprocessing,
            len(data.classes),
            title=self._title,
            keys=self.keys,
            seed=self.seed,
            accelerator=accelerator,
            checkpoints=checkpoints,
            epoch_steps=self.epoch_steps,
            gradient_accumulation=self.hardware.gradient_accumulation,
            channels_last=channels_last,
            on_progress=lambda progress: self._tell(progress, reporter),
            on_epoch=on_epoch,
            on_warning=lambda text: reporter.warn(f"{self._title}: {text}") if is_main else None,
        )
        if tracking is not None:
            tracking.close()
        if is_main:
            # A kill between the last checkpoint and its line would leave the file one line short.
            folder.write_history(history)
        # The last epoch's network, whatever the figures say: nothing is chosen by them.
        sets = {"test": data.test}
        if data.validation is not None:
            sets["validation"] = data.validation
        found = {
            split: evaluate(
                model, images, preprocessing, len(data.classes), accelerator,
                channels_last,
            )
            for split, images in sets.items()
        }  # fmt: skip
        measured = {
            split: measure(probabilities, sets[split].labels, sets[split].cells, self.counts)
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
            self._save(folder, model.to("cpu"), preprocessing, sets, found, result)
        # Nobody begins the next before this one is on disk.
        accelerator.wait_for_everyone()
        if accelerator.device.type == "cuda":
            torch.cuda.empty_cache()
        return result

    @property
    def _title(self) -> str:
        return f"{self.method}, seed {self.seed}"

    def _tell(self, progress: LoopProgress, reporter: Reporter) -> None:
        reporter.progress(
            f"{self._title}, {progress.stage}",
            progress.done,
            progress.total,
            f"epoch {progress.epoch} of {progress.epochs}, loss {progress.loss:.3f}, "
            f"accuracy {progress.accuracy:.1%}",
            progress.images_per_second,
            progress.seconds_left,
        )

    def _save(
        self,
        folder: SeedFolder,
        model: nn.Module,
        preprocessing: Preprocessing,
        sets: dict[str, ImageSet],
        found: dict[str, NDArray[np.float32]],
        result: Result,
    ) -> None:
        data = self.data
        save_classifier(
            folder.model,
            model,
            self.model,
            data.classes,
            preprocessing.image_size,
            preprocessing.mean,
            preprocessing.std,
            {"recipe": self.recipe, "method": self.method, "seed": self.seed},
        )
        write_predictions(
            folder.predictions,
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
        result.write(folder.result)
        folder.tidy()
