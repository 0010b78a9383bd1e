"""`synfill.train`: the composer. Recipe -> data -> each method's seeds -> metrics, comparison."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from synfill.balancing.run import run_balance
from synfill.balancing.settings import BalanceSettings, balance_problems, make_settings
from synfill.devices import find_device
from synfill.errors import Interrupted, UsageError
from synfill.files import atomic_write
from synfill.publish.destination import Destination, PushSettings
from synfill.records import JsonObject
from synfill.reporter import LogReporter, Reporter
from synfill.training.comparison import Comparison, Subject, compare
from synfill.training.folder import MethodFolder, RunFolder, SeedFolder
from synfill.training.launch import is_main_process, start_accelerator
from synfill.training.methods import OWN, check_methods, stages_of
from synfill.training.metrics import TrainCounts
from synfill.training.predictions import merge_predictions
from synfill.training.pushing import prepare_push, push_model
from synfill.training.recipe import read_recipe, recipe_yaml
from synfill.training.results import Result, write_json, write_metrics
from synfill.training.settings import DataSettings, Recipe, StageSettings, SyntheticSettings
from synfill.training.trackers import check_trackers

if TYPE_CHECKING:
    from synfill.publish.push import Pushed
    from synfill.training.gather import TrainingData


@dataclass(frozen=True)
class TrainSettings:
    """What is asked of a run, beside the recipe.

    Attributes:
        recipe: A recipe file, or the name of a shipped one.
        overrides: `key=value` for the recipe's keys.
        seeds: Instead of the recipe's; None for those.
        out: The output folder; None for runs/NAME.
        device: "auto", "cuda", "cuda:1", "mps", "cpu".
        compare: Methods instead of the recipe's own stages; empty for what the recipe says.
        overwrite: Whether results of other settings in the output folder may be replaced.
        push_to_hub: Whether the model is pushed to the Hub.
        repo_id: Where to.
        private: Whether a new repository is private; None for the account's default.
    """

    recipe: str
    overrides: tuple[str, ...] = ()
    seeds: tuple[int, ...] | None = None
    out: Path | None = None
    device: str = "auto"
    compare: tuple[str, ...] = ()
    overwrite: bool = False
    push_to_hub: bool = False
    repo_id: str | None = None
    private: bool | None = None


@dataclass(frozen=True)
class TrainResult:
    """What a run gave.

    Attributes:
        out: The output folder.
        recipe: The resolved recipe.
        results: Each method's seeds' results; the recipe's own stages are called "recipe".
        subject: What all of it was trained and tested on.
        comparison: The methods side by side; None where only the recipe's own stages ran.
        pushed: What was pushed to the Hub; None if nothing was.
    """

    out: Path
    recipe: Recipe
    results: Mapping[str, Mapping[int, Result]]
    subject: Subject
    comparison: Comparison | None = None
    pushed: Pushed | None = None

    def summary(self) -> list[str]:
        """The result in a few lines."""
        if self.comparison is not None:
            return [
                *self.comparison.verdicts(),
                f"The whole table: {self.out / 'comparison.md'}",
            ]
        model = SeedFolder(self.out / f"seed-{self.recipe.seeds[0]}").model
        return [
            f"The figures are in {self.out / 'metrics.json'}, what was said of every test image "
            "in predictions.parquet.",
            f"Use the model: synfill predict {model} IMAGES",
            *(self.pushed.summary() if self.pushed is not None else []),
        ]


def train(
    recipe: str | Path,
    *,
    overrides: Sequence[str] = (),
    seeds: Sequence[int] | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    compare: Sequence[str] = (),
    overwrite: bool = False,
    push_to_hub: bool = False,
    repo_id: str | None = None,
    private: bool | None = None,
    reporter: Reporter | None = None,
) -> TrainResult:
    """Train as a recipe says, or compare methods on its data.

    A run that was stopped goes on when called again with the same arguments.

    Args:
        recipe: A recipe file, or the name of a shipped one ("demo").
        overrides: `key=value` for the recipe's keys, e.g. "stages.0.epochs=10".
        seeds: Instead of the recipe's.
        out: The output folder; runs/NAME by default.
        device: "auto", "cuda", "cuda:1", "mps", "cpu".
        compare: Names of methods, e.g. ("ce", "synaug-mixup-retrain").
        overwrite: Whether results of other settings in the output folder may be replaced.
        push_to_hub: Push the model (of the first seed) and its metrics to the Hub.
        repo_id: Where to.
        private: Whether a new repository is private.
        reporter: Where messages and progress go; the logger `synfill` by default.

    Raises:
        UsageError: The recipe or an argument is wrong, or the data doesn't fit it.
        RunError: The run failed; finished epochs are kept.
        Interrupted: It was stopped with Ctrl-C; finished epochs are kept.
    """
    settings = TrainSettings(
        recipe=str(recipe),
        overrides=tuple(overrides),
        seeds=tuple(seeds) if seeds is not None else None,
        out=Path(out) if out is not None else None,
        device=device,
        compare=tuple(compare),
        overwrite=overwrite,
        push_to_hub=push_to_hub,
        repo_id=repo_id,
        private=private,
    )
    return run_train(settings, reporter or LogReporter())


def run_train(settings: TrainSettings, reporter: Reporter) -> TrainResult:
    """`train` with its arguments as one object."""
    try:
        return _Run(settings, reporter).run()
    except KeyboardInterrupt:
        raise Interrupted(
            "Stopped. Every finished epoch is kept.", "The same command goes on from there."
        ) from None


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
        self.recipe = read_recipe(settings.recipe, overrides, balance_problems)
        names = settings.compare or self.recipe.compare
        check_methods(self.recipe, names)
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
        self.identity = _recipe_identity(self.recipe)

    def run(self) -> TrainResult:
        """Everything that can be told before the data is read, then the rest."""
        from synfill.training.model import check_model

        self.folder.check(self.identity, self.settings.overwrite)
        self.device = find_device(self.settings.device)
        check_model(self.recipe.model)
        check_trackers(self.recipe.hardware.trackers)
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

    def _check_destination(self) -> Destination | None:
        """Asked before anything is trained, so that no night is lost to a bad token."""
        settings = self.settings
        if not settings.push_to_hub or not self.is_main:
            return None
        push = PushSettings(settings.repo_id, settings.private, overwrite=settings.overwrite)
        return prepare_push(push, self.recipe, self.reporter)

    def _run(self) -> TrainResult:
        data = self._gather()
        for note in data.notes:
            self._note(note)
        for stages in self.methods.values():
            self._check_stages(stages, data)
        folders = {
            name: self.folder.method(name if self.is_comparison else None) for name in self.methods
        }
        identities = {name: self._method_identity(name, data) for name in self.methods}
        if self.is_main:
            # All are looked at before the first is trained.
            for name, folder in folders.items():
                folder.check(identities[name], self.settings.overwrite)
            self.folder.claim(self.identity, recipe_yaml(self.recipe))
            for name, folder in folders.items():
                folder.begin(identities[name], self.settings.overwrite)
        if self.accelerator.num_processes > 1:
            self._note(f"Training in {self.accelerator.num_processes} processes.")
        self.accelerator.wait_for_everyone()
        results = {
            name: self._run_method(name, stages, folders[name], data)
            for name, stages in self.methods.items()
        }
        counts = _counts(data, any(map(_sees_synthetic, self.methods.values())))
        subject = Subject(self.recipe.name, self.recipe.data.train, counts, len(data.test))
        comparison = compare(subject, results) if self.is_comparison else None
        if comparison is not None and self.is_main:
            write_json(self.out / "comparison.json", comparison.to_json())
            with atomic_write(self.out / "comparison.md") as file:
                file.write(comparison.to_markdown().encode())
        return TrainResult(self.out, self.recipe, results, subject, comparison)

    def _gather(self) -> TrainingData:
        from synfill.training.gather import gather

        data = self.recipe.data
        balanced: str | None = None
        if not any(stage.data != "real" for stages in self.methods.values() for stage in stages):
            # No synthetic image is looked at: none need be made, nor fetched.
            data = data.model_copy(update={"synthetic": "none"})
        elif isinstance(data.synthetic, SyntheticSettings) and data.synthetic.balance is not None:
            if self.is_main:
                self._balance(data, data.synthetic.balance)
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
            return gather(data, balanced, device, reporter, self.folder.work)

    def _balance(self, data: DataSettings, section: JsonObject) -> None:
        """Make the balanced dataset, or go on making it, or see that it is finished."""
        settings = balance_settings(data, section, self.folder.balanced, self.device)
        try:
            run_balance(settings, self.reporter)
        except UsageError:
            if not self.settings.overwrite:
                raise
            # Only where it must be: --overwrite is for the training, and images take long to make.
            run_balance(settings.model_copy(update={"overwrite": True}), self.reporter)

    def _check_stages(self, stages: Sequence[StageSettings], data: TrainingData) -> None:
        """All that could stop a later stage is found before the first begins."""
        from synfill.training.model import choose_trainable, rebuild_model
        from synfill.training.sampling import check_stage

        network = rebuild_model(self.recipe.model, len(data.classes), data.image_size)
        for position, stage in enumerate(stages):
            choose_trainable(network, stage.trainable)
            warnings = check_stage(
                f"stages.{position}",
                stage,
                data.classes,
                data.train.labels,
                data.train.cells,
                data.train.synthetic,
                is_retraining=position > 0 and stage.trainable == "classifier",
            )
            for warning in warnings:
                if warning not in self.told and self.is_main:
                    self.reporter.warn(warning)
                self.told.add(warning)

    def _method_identity(self, name: str, data: TrainingData) -> JsonObject:
        stages = self.methods[name]
        unseen = () if _sees_synthetic(stages) else ("synthetic",)
        return {
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
    ) -> dict[int, Result]:
        from synfill.training.trial import Trial

        counts = _counts(data, _sees_synthetic(stages))
        results = {}
        for seed in self.recipe.seeds:
            seed_folder = folder.seed(seed)
            if seed_folder.result.is_file():
                results[seed] = Result.read(seed_folder.result)
                seed_folder.tidy()
                self._note(f"{name}, seed {seed}: finished before. {_brief(results[seed])}")
            else:
                started = time.monotonic()
                trial = Trial(
                    recipe=self.recipe.name,
                    method=name,
                    seed=seed,
                    model=self.recipe.model,
                    stages=stages,
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
        return results

    def _note(self, text: str) -> None:
        if self.is_main:
            self.reporter.note(text)


def balance_settings(
    data: DataSettings, section: Mapping[str, Any], out: Path, device: str
) -> BalanceSettings:
    """The settings of the `balance` run that makes a recipe's synthetic images.

    Args:
        data: The recipe's data: what is to be balanced.
        section: The recipe's `data.synthetic.balance`.
        out: Where the balanced dataset goes.
        device: Where images are made, if the section doesn't say.

    Raises:
        UsageError: A setting is wrong.
    """
    tail = data.long_tail
    values: dict[str, Any] = {
        "device": device,
        **section,
        "source": data.train,
        "config": data.config,
        "split": data.split,
        "image": data.image,
        "label": data.label,
        "group": data.group,
        "seed": data.seed,
        "on_bad_image": data.on_bad_image,
        "out": out,
    }
    if tail is not None:
        values |= {
            "long_tail": tail.imbalance_factor,
            "long_tail_type": tail.type,
            "long_tail_max": tail.largest,
        }
    return make_settings(values, "data.synthetic.balance")


def _recipe_identity(recipe: Recipe) -> JsonObject:
    """What of a recipe decides all methods' results; stages are compared method by method."""
    content = recipe.model_dump(mode="json", include={"data", "model", "hardware"})
    for key in ("storage", "workers"):
        del content["data"][key]
    del content["hardware"]["trackers"]
    return {"name": recipe.name, **content}


def _sees_synthetic(stages: Sequence[StageSettings]) -> bool:
    return any(stage.data != "real" for stage in stages)


def _counts(data: TrainingData, with_synthetic: bool) -> TrainCounts:
    train = data.train

    def count(codes: NDArray[np.int64], kinds: int, synthetic: bool) -> tuple[int, ...]:
        if synthetic and not with_synthetic:
            return (0,) * kinds
        chosen = codes[(train.synthetic == synthetic) & (codes >= 0)]
        return tuple(np.bincount(chosen, minlength=kinds).tolist())

    return TrainCounts(
        classes=data.classes,
        real=count(train.labels, len(data.classes), False),
        synthetic=count(train.labels, len(data.classes), True),
        groups=data.groups,
        cells=tuple(map(str, data.cells)),
        cell_real=count(train.cells, len(data.cells), False),
        cell_synthetic=count(train.cells, len(data.cells), True),
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
