"""`synfill.train`: the composer. Recipe -> data -> each method's seeds -> metrics, comparison."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synfill.balancing.run import run_balance
from synfill.balancing.settings import balance_problems, settings_of_recipe
from synfill.balancing.settings import make_settings as make_balance_settings
from synfill.config.arguments import make_settings, takes_settings
from synfill.config.balance import BalanceSettings
from synfill.config.recipe import read_recipe, recipe_yaml
from synfill.config.train import TrainSettings
from synfill.config.training import DataSettings, StageSettings
from synfill.devices import find_device
from synfill.errors import Interrupted, RunError, UsageError
from synfill.evaluation.comparison import Subject, compare
from synfill.evaluation.metrics import TrainCounts
from synfill.evaluation.predictions import merge_predictions
from synfill.evaluation.results import Result, write_json, write_metrics
from synfill.files import atomic_write
from synfill.hub.upload.destination import Destination, PushSettings
from synfill.records import JsonObject
from synfill.report.plots import draw_comparison, draw_method
from synfill.reporter import LogReporter, Reporter, reporting
from synfill.runs.training_folder import MethodFolder, RunFolder, SeedFolder
from synfill.training.budget import budget_in_effect
from synfill.training.checks import check_networks, look_ahead
from synfill.training.identity import (
    count_train,
    is_to_be_made,
    recipe_identity,
    sees_synthetic,
)
from synfill.training.launch import is_main_process, start_accelerator
from synfill.training.lengths import Lengths, find_lengths
from synfill.training.methods.builtin import OWN, place_of, stages_of
from synfill.training.push import prepare_push, push_model
from synfill.training.request import TrainResult
from synfill.training.trackers import check_trackers

if TYPE_CHECKING:
    from synfill.training.images.gather import TrainingData, TrainLabels


@takes_settings(TrainSettings)
def train(
    recipe: str | Path,
    *,
    progress: bool = True,
    reporter: Reporter | None = None,
    **options: Any,
) -> TrainResult:
    """Train as a recipe says, or compare methods on its data.

    A run that was stopped goes on when called again with the same arguments.

    Args:
        recipe: A recipe file, or the name of a shipped one ("demo").
        **options
        progress: Show progress in a notebook or terminal.
        reporter: Where messages and progress go instead; the logger `synfill` by default.

    Raises:
        UsageError: The recipe or an argument is wrong, or the data doesn't fit it.
        RunError: The run failed; finished epochs are kept.
        Interrupted: It was stopped with Ctrl-C; finished epochs are kept.
    """
    hint = "help(synfill.train) lists all arguments."
    settings = make_settings(TrainSettings, {"recipe": recipe, **options}, "The call", hint)
    with reporting(reporter, progress) as told:
        return run_train(settings, told)


def run_train(settings: TrainSettings, reporter: Reporter) -> TrainResult:
    """`train` with its arguments as one object."""
    try:
        return _Run(settings, reporter).run()
    except KeyboardInterrupt:
        raise Interrupted(
            "Stopped. Every finished epoch is kept.", "The same command goes on from there."
        ) from None
    except MemoryError as error:
        raise RunError(
            "Memory ran out outside of the training itself.",
            "Set data.storage=stream, or a smaller data.image_size, or close other programs. Every "
            "finished epoch is kept.",
        ) from error


@dataclass
class _Run:
    """One call of `train`."""

    settings: TrainSettings
    reporter: Reporter
    is_main: bool = field(default_factory=is_main_process)
    told: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        settings = self.settings
        overrides = list(settings.overrides)
        if settings.seeds is not None:
            overrides.append(f"seeds=[{', '.join(map(str, settings.seeds))}]")
        if settings.compare:
            # So that what is wrong with them is told with all the rest. JSON is YAML.
            overrides.append(f"compare={json.dumps(settings.compare)}")
        self.recipe = read_recipe(settings.recipe, overrides, balance_problems)
        names = self.recipe.compare
        self.methods = {name: stages_of(self.recipe, name) for name in names or (OWN,)}
        self.is_comparison = bool(names)
        if not settings.push_to_hub and (settings.repo_id or settings.private is not None):
            raise UsageError(
                "--repo-id and --private say where a model is pushed, and --push-to-hub isn't "
                "there.",
                "Add --push-to-hub, or leave them out.",
            )
        if settings.push_to_hub and self.is_comparison:
            raise UsageError(
                "--push-to-hub pushes the model of the recipe's own stages, and a comparison "
                "trains several.",
                "Leave --compare out (and compare: in the recipe) to train and push one.",
            )
        self.out = settings.out or Path("runs") / self.recipe.name
        self.folder = RunFolder(self.out)
        self.identity = recipe_identity(self.recipe)

    def run(self) -> TrainResult:
        """Everything that can be told before the data is read, then the rest."""
        # What isn't there comes before what an earlier run left: a wrong path in the recipe is
        # no other setting.
        look_ahead(self._data, self.recipe.data, self.methods)
        self.folder.check(self.identity, self.settings.overwrite)
        self.device = find_device(self.settings.device)
        from synfill.training.network.model import check_model

        check_model(self.recipe.model)
        check_trackers(self.recipe.hardware.trackers, self.is_main)
        destination = self._check_destination()
        hardware = self.recipe.hardware
        self.accelerator = start_accelerator(self.device, hardware.precision, hardware.compile)
        is_finished = False
        if self.is_main:
            self.folder.begin()
        try:
            result = self._run()
            is_finished = True
        finally:
            self.folder.release(is_finished)
        if destination is None:
            return result
        runs = result.results[OWN]
        counts = result.subject.counts
        pushed = push_model(self.out, destination, self.recipe, counts, runs, self.reporter)
        return replace(result, pushed=pushed)

    @property
    def _data(self) -> DataSettings:
        """The recipe's data. Where no method looks at synthetic images, none need be made, nor
        fetched.
        """
        data = self.recipe.data
        if any(map(sees_synthetic, self.methods.values())):
            return data
        return data.model_copy(update={"synthetic": "none"})

    def _check_destination(self) -> Destination | None:
        """Asked before anything is trained, so that no night is lost to a bad token."""
        settings = self.settings
        if not settings.push_to_hub or not self.is_main:
            return None
        push = PushSettings(settings.repo_id, settings.private, overwrite=settings.overwrite)
        return prepare_push(push, self.recipe, self.reporter)

    def _run(self) -> TrainResult:
        from synfill.training.images.gather import TrainLabels

        data = self._gather()
        for note in data.notes:
            self._note(note)
        found = TrainLabels(data.classes, data.train.labels, data.train.cells, data.train.synthetic)
        # Again, where images that can't be used were left out.
        self._check_stages(found)
        check_networks(self.recipe, self.methods, data, self.accelerator.num_processes)
        folders = {
            name: self.folder.method(name if self.is_comparison else None) for name in self.methods
        }
        lengths = find_lengths(
            self.recipe,
            self.methods if self.is_comparison else {},
            found,
            self._data,
            self.folder.balanced,
            self.accelerator.num_processes,
            self._note,
        )
        identities = {
            name: self._method_identity(name, data, lengths.get(name)) for name in folders
        }
        if self.is_main:
            # All are looked at before the first is trained.
            for name, folder in folders.items():
                self._check_folder(folder, identities[name])
            self.folder.claim(self.identity, recipe_yaml(self.recipe), self.settings.overwrite)
            for name, folder in folders.items():
                folder.begin(identities[name], self.settings.overwrite)
            self.folder.write_skipped([(one.role, one.where, one.reason) for one in data.skipped])
        if self.accelerator.num_processes > 1:
            self._note(f"Training in {self.accelerator.num_processes} processes.")
        self.accelerator.wait_for_everyone()
        results = {
            name: self._run_method(name, stages, folders[name], data, lengths.get(name))
            for name, stages in self.methods.items()
        }
        counts = count_train(data, any(map(sees_synthetic, self.methods.values())))
        budget = budget_in_effect(self.recipe, list(self.methods.values()))
        subject = Subject(self.recipe.name, self.recipe.data.train, counts, len(data.test), budget)
        comparison = compare(subject, results) if self.is_comparison else None
        if comparison is not None and self.is_main:
            write_json(self.out / "comparison.json", comparison.to_json())
            with atomic_write(self.out / "comparison.md") as file:
                file.write(comparison.to_markdown().encode())
            self._draw(lambda: draw_comparison(self.out))
        return TrainResult(self.out, self.recipe, results, subject, comparison)

    def _gather(self) -> TrainingData:
        from synfill.training.images.gather import gather

        data = self._data
        balanced: str | None = None
        if is_to_be_made(data):
            if self.is_main:
                self._balance(data)
            balanced = str(self.folder.balanced)
            if isinstance(data.validation, float):
                self._note(
                    "The classes were filled up with the validation images counted in: without "
                    "these, training has fewer images of a class than the target says."
                )
        self.accelerator.wait_for_everyone()
        reporter = self.reporter if self.is_main else _Silent()
        device = str(self.accelerator.device)
        with self.accelerator.main_process_first():
            return gather(data, balanced, device, reporter, self.folder.work, self._check_stages)

    def _balance(self, data: DataSettings) -> None:
        """Make the balanced dataset, or go on making it, or see that it is finished."""
        settings = balance_settings(data, self.folder.balanced, self.device)
        try:
            run_balance(settings, self.reporter)
        except UsageError:
            if not self.settings.overwrite:
                raise
            # Only where it must be: --overwrite is for the training, and images take long to make.
            run_balance(settings.model_copy(update={"overwrite": True}), self.reporter)

    def _check_stages(self, found: TrainLabels) -> None:
        """All that the images' labels could stop a later stage by is found before the first."""
        from synfill.training.sampling.order import check_stage

        for name, stages in self.methods.items():
            for position, stage in enumerate(stages):
                warnings = check_stage(
                    place_of(self.recipe, name, position),
                    stage,
                    found.classes,
                    found.labels,
                    found.cells,
                    found.synthetic,
                    is_retraining=position > 0 and stage.trainable == "classifier",
                    processes=self.accelerator.num_processes,
                )
                for warning in warnings:
                    if warning not in self.told and self.is_main:
                        self.reporter.warn(warning)
                    self.told.add(warning)

    def _check_folder(self, folder: MethodFolder, identity: JsonObject) -> None:
        """Look whether a method's folder can be used; see `MethodFolder.check`."""
        try:
            folder.check(identity, self.settings.overwrite)
        except UsageError as error:
            if "epoch_steps" not in error.message:
                raise
            raise UsageError(
                error.message,
                "There each method made its own epochs, or an epoch had another length. "
                f"{error.hint} budget=epochs takes up results of methods that made their own "
                "epochs.",
            ) from None

    def _method_identity(
        self, name: str, data: TrainingData, lengths: Lengths | None
    ) -> JsonObject:
        stages = self.methods[name]
        unseen = () if sees_synthetic(stages) else ("synthetic",)
        # Only where it changes anything: results of earlier versions stay what they are.
        steps = {"epoch_steps": list(lengths.stored)} if lengths and any(lengths.stored) else {}
        return {
            **steps,
            **self.identity,
            "stages": [stage.model_dump(mode="json") for stage in stages],
            "classes": list(data.classes),
            "images": {k: digest for k, digest in data.digests.items() if k not in unseen},
            "precision": self.accelerator.mixed_precision,
            "device": self.accelerator.device.type,
        }

    def _run_method(
        self,
        name: str,
        stages: Sequence[StageSettings],
        folder: MethodFolder,
        data: TrainingData,
        lengths: Lengths | None,
    ) -> dict[int, Result]:
        from synfill.training.trial import Trial

        counts = count_train(data, sees_synthetic(stages))
        results = {}
        for seed in self.recipe.seeds:
            seed_folder = folder.seed(seed)
            finished = self._finished(name, seed, seed_folder, counts, data)
            if finished is not None:
                results[seed] = finished
                self._note(f"{name}, seed {seed}: finished before. {_brief(finished)}")
            else:
                started = time.monotonic()
                trial = Trial(
                    recipe=self.recipe.name,
                    method=name,
                    seed=seed,
                    model=self.recipe.model,
                    stages=stages,
                    keys=[place_of(self.recipe, name, at).key for at in range(len(stages))],
                    epoch_steps=lengths.here if lengths else (None,) * len(stages),
                    hardware=self.recipe.hardware,
                    counts=counts,
                    data=data,
                )
                trackers = self.out / "trackers"
                results[seed] = trial.run(self.accelerator, seed_folder, trackers, self.reporter)
                seconds = time.monotonic() - started
                self._note(f"{name}, seed {seed}: {_brief(results[seed])} ({seconds:.0f} s)")
        if self.is_main:
            write_metrics(folder.path / "metrics.json", self.recipe.name, name, counts, results)
            merge_predictions(
                folder.path / "predictions.parquet",
                [folder.seed(seed).predictions for seed in results],
            )
            self._draw(lambda: draw_method(folder))
        return results

    def _draw(self, draw: Callable[[], None]) -> None:
        """Pictures are an extra: where what they show is damaged, the run's figures stand."""
        try:
            draw()
        except (OSError, ValueError) as error:
            self.reporter.warn(f"The pictures can't be drawn: {str(error).rstrip('.')}.")

    def _finished(
        self,
        name: str,
        seed: int,
        folder: SeedFolder,
        counts: TrainCounts,
        data: TrainingData,
    ) -> Result | None:
        """What a seed gave that was finished before; None where it is to be trained."""
        from synfill.training.finished import UnusableError, read_finished

        if not os.path.lexists(folder.result):
            return None
        try:
            result = read_finished(folder, seed, counts, data)
        except UnusableError as error:
            if self.is_main:
                self.reporter.warn(
                    f"{name}, seed {seed} was finished before, but {error} It is trained again."
                )
            # All look before what is left is cleared away.
            self.accelerator.wait_for_everyone()
            if self.is_main:
                folder.clear()
            self.accelerator.wait_for_everyone()
            return None
        if self.is_main:
            folder.tidy()
        return result

    def _note(self, text: str) -> None:
        if self.is_main:
            self.reporter.note(text)


def balance_settings(data: DataSettings, out: Path, device: str) -> BalanceSettings:
    """The settings of the `balance` run that makes a recipe's synthetic images.

    Args:
        data: The recipe's data: what is to be balanced, and how.
        out: Where the balanced dataset goes.
        device: Where images are made, if the recipe doesn't say.

    Raises:
        UsageError: A setting is wrong.
    """
    values = settings_of_recipe(data) or {}
    return make_balance_settings(
        {"device": device} | values | {"out": out}, "data.synthetic.balance"
    )


def _brief(result: Result) -> str:
    test = result.test
    parts = [f"accuracy {test.accuracy:.1%}"]
    parts += [f"tail {test.tail:.1%}"] if test.tail is not None else []
    parts += [f"worst cell {test.worst_cell:.1%}"] if test.worst_cell is not None else []
    return ", ".join(parts)


class _Silent(LogReporter):
    """Says nothing: the main process says it."""

    def note(self, message: str) -> None:
        """Nothing."""

    def warn(self, message: str) -> None:
        """Nothing."""
