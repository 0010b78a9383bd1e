"""`synfill.train`, from top to bottom: recipe -> data -> plan -> trials -> comparison -> push."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synfill.config.arguments import make_settings, takes_settings
from synfill.config.push import PushSettings
from synfill.config.recipes.methods import OWN
from synfill.config.recipes.read import recipe_yaml
from synfill.config.recipes.settings import DataSettings, Recipe, StageSettings
from synfill.config.train import TrainSettings
from synfill.devices import find_device
from synfill.errors import Interrupted, RunError, UsageError
from synfill.evaluation.comparison import Subject, compare
from synfill.evaluation.predictions import merge_predictions
from synfill.evaluation.results import Result, metrics_json, write_json
from synfill.files import atomic_write
from synfill.hub.upload.destination import Destination
from synfill.records import JsonObject
from synfill.report.plots import draw_comparison, draw_method
from synfill.reporter import Reporter, SilentReporter, reporting
from synfill.runs.training_folder import MethodFolder, RunFolder
from synfill.training.balanced import make_balanced
from synfill.training.budget import budget_in_effect
from synfill.training.checks import check_networks, check_stages, look_ahead
from synfill.training.identity import (
    count_train,
    makes_images,
    recipe_identity,
    sees_synthetic,
)
from synfill.training.launch import is_main_process, start_accelerator
from synfill.training.methods.base import stages_of
from synfill.training.push import prepare_push, push_model
from synfill.training.request import TrainResult, resolve_recipe
from synfill.training.trackers import check_trackers

if TYPE_CHECKING:
    from accelerate import Accelerator

    from synfill.training.images.training_data import TrainingData
    from synfill.training.plan import MethodPlan
    from synfill.training.trial import Trial


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
    with reporting(reporter, progress) as chosen:
        return train_recipe(settings, chosen)


def train_recipe(settings: TrainSettings, reporter: Reporter) -> TrainResult:
    """`train` with its arguments as one object."""
    if not is_main_process():
        reporter = SilentReporter()
    with _saying_how_to_go_on():
        run = _prepare(settings, reporter)
        with _folder_taken(run):
            data = _read_data(run)
            plans = _plan(run, data)
            _claim_folders(run, plans, data)
            results = {plan.name: _train_method(run, plan, data) for plan in plans}
            result = _compare(run, data, results)
        return _push(run, result)


@dataclass(frozen=True, eq=False)
class _Run:
    """What is trained, where it goes and where it is computed.

    Attributes:
        recipe: The recipe.
        methods: Each method's stages; the recipe's own are called "recipe".
        data: What of the recipe's data is used.
        folder: The output folder.
        overwrite: Whether results of other settings in it may be replaced.
        device: Where it is computed, as `find_device` gave it.
        accelerator: Likewise, set up for training.
        destination: Where the model is pushed; None for nowhere, and on all processes but one.
        reporter: Where messages and progress go.
    """

    recipe: Recipe
    methods: Mapping[str, tuple[StageSettings, ...]]
    data: DataSettings
    folder: RunFolder
    overwrite: bool
    device: str
    accelerator: Accelerator
    destination: Destination | None
    reporter: Reporter

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes."""
        return is_main_process()

    def method_folder(self, name: str) -> MethodFolder:
        """Where a method's results go."""
        return self.folder.method(name if self.recipe.compare else None)


@contextmanager
def _saying_how_to_go_on() -> Iterator[None]:
    try:
        yield
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


def _prepare(settings: TrainSettings, reporter: Reporter) -> _Run:
    """Everything that can be found wrong before the data is read, the cheapest first."""
    recipe = resolve_recipe(settings)
    methods = {name: stages_of(recipe, name) for name in recipe.compare or (OWN,)}
    data = recipe.data
    if not any(map(sees_synthetic, methods.values())):
        # No synthetic images need be made, nor fetched.
        data = data.model_copy(update={"synthetic": "none"})
    # What isn't there comes before what an earlier run left: a wrong path in the recipe is no
    # other setting.
    look_ahead(data, recipe.data, methods)
    folder = RunFolder(settings.out or Path("runs") / recipe.name)
    folder.check(recipe_identity(recipe), settings.overwrite)
    device = find_device(settings.device)
    from synfill.training.network.model import check_model

    check_model(recipe.model)
    check_trackers(recipe.hardware.trackers, is_main_process())
    destination = None
    if settings.push_to_hub and is_main_process():
        # Asked before anything is trained, so that no night is lost to a bad token.
        wanted = PushSettings(
            repo_id=settings.repo_id, private=settings.private, overwrite=settings.overwrite
        )
        destination = prepare_push(wanted, recipe, reporter)
    accelerator = start_accelerator(device, recipe.hardware.precision, recipe.hardware.compile)
    return _Run(
        recipe=recipe,
        methods=methods,
        data=data,
        folder=folder,
        overwrite=settings.overwrite,
        device=device,
        accelerator=accelerator,
        destination=destination,
        reporter=reporter,
    )


@contextmanager
def _folder_taken(run: _Run) -> Iterator[None]:
    """The output folder is this run's alone; what was only needed meanwhile is removed."""
    is_finished = False
    if run.is_main:
        run.folder.begin()
    try:
        yield
        is_finished = True
    finally:
        run.folder.release(is_finished)


def _read_data(run: _Run) -> TrainingData:
    """The images: the synthetic ones made, classes matched, stages checked, all of them read."""
    from synfill.training.images.labels import find_labels
    from synfill.training.images.training_data import read_training_data

    accelerator = run.accelerator
    balanced = run.folder.balanced if makes_images(run.data) else None
    if balanced is not None:
        if run.is_main:
            make_balanced(run.data, balanced, run.device, run.overwrite, run.reporter)
        if isinstance(run.data.validation, float):
            run.reporter.note(
                "The classes were filled up with the validation images counted in: without these, "
                "training has fewer images of a class than the target says."
            )
    accelerator.wait_for_everyone()
    processes = accelerator.num_processes
    with accelerator.main_process_first():
        found = find_labels(run.data, str(balanced) if balanced is not None else None)
        warned = check_stages(run.recipe, run.methods, found.classes, found.train, processes)
        for warning in warned:
            run.reporter.warn(warning)
        device = str(accelerator.device)
        data = read_training_data(run.data, found, device, run.reporter, run.folder.work)
    for note in data.notes:
        run.reporter.note(note)
    # Again, where images that can't be used were left out.
    again = check_stages(run.recipe, run.methods, data.classes, data.train, processes)
    for warning in again:
        if warning not in warned:
            run.reporter.warn(warning)
    check_networks(run.recipe, run.methods, data, processes)
    return data


def _plan(run: _Run, data: TrainingData) -> list[MethodPlan]:
    """Each method's lengths, and what decides its results."""
    from synfill.training.plan import labels_of_own_stages, plan_methods

    accelerator = run.accelerator
    own = labels_of_own_stages(run.recipe, run.data, data, run.folder.balanced, run.reporter)
    computed: JsonObject = {
        "precision": accelerator.mixed_precision,
        "device": accelerator.device.type,
    }
    return plan_methods(run.recipe, run.methods, data, own, accelerator.num_processes, computed)


def _claim_folders(run: _Run, plans: Sequence[MethodPlan], data: TrainingData) -> None:
    """Write down what the results will be of; all are looked at before the first is trained."""
    if run.is_main:
        for plan in plans:
            _check_method_folder(run, plan)
        identity = recipe_identity(run.recipe)
        run.folder.claim(identity, recipe_yaml(run.recipe), run.overwrite)
        for plan in plans:
            run.method_folder(plan.name).begin(plan.identity, run.overwrite)
        run.folder.write_skipped([(one.role, one.where, one.reason) for one in data.skipped])
    if run.accelerator.num_processes > 1:
        run.reporter.note(f"Training in {run.accelerator.num_processes} processes.")
    run.accelerator.wait_for_everyone()


def _check_method_folder(run: _Run, plan: MethodPlan) -> None:
    """Look whether a method's folder can be used; see `MethodFolder.check`."""
    try:
        run.method_folder(plan.name).check(plan.identity, run.overwrite)
    except UsageError as error:
        if "epoch_steps" not in error.message:
            raise
        raise UsageError(
            error.message,
            "There each method made its own epochs, or an epoch had another length. "
            f"{error.hint} budget=epochs takes up results of methods that made their own epochs.",
        ) from None


def _train_method(run: _Run, plan: MethodPlan, data: TrainingData) -> dict[int, Result]:
    """Each seed's result, the finished ones' from disk; then the method's table and pictures."""
    from synfill.training.trial import Trial

    folder = run.method_folder(plan.name)
    results = {}
    for seed in run.recipe.seeds:
        trial = Trial(run.recipe, plan, seed, data, folder.seed(seed))
        result = _read_finished(run, trial)
        if result is not None:
            run.reporter.note(f"{trial.title}: finished before. {_brief(result)}")
        else:
            started = time.monotonic()
            result = trial.run(run.accelerator, run.folder.path / "trackers", run.reporter)
            seconds = time.monotonic() - started
            run.reporter.note(f"{trial.title}: {_brief(result)} ({seconds:.0f} s)")
        results[seed] = result
    if run.is_main:
        metrics = folder.path / "metrics.json"
        write_json(metrics, metrics_json(run.recipe.name, plan.name, plan.counts, results))
        merge_predictions(
            folder.path / "predictions.parquet",
            [folder.seed(seed).predictions for seed in results],
        )
        _draw(run, lambda: draw_method(folder))
    return results


def _read_finished(run: _Run, trial: Trial) -> Result | None:
    """What a seed gave that was finished before; None where it is to be trained."""
    from synfill.training.finished import UnusableError, read_finished

    folder = trial.folder
    if not os.path.lexists(folder.result):
        return None
    try:
        result = read_finished(folder, trial.seed, trial.plan.counts, trial.data)
    except UnusableError as error:
        run.reporter.warn(f"{trial.title} was finished before, but {error} It is trained again.")
        # All look before what is left is cleared away.
        run.accelerator.wait_for_everyone()
        if run.is_main:
            folder.clear()
        run.accelerator.wait_for_everyone()
        return None
    if run.is_main:
        folder.tidy()
    return result


def _brief(result: Result) -> str:
    test = result.test
    parts = [f"accuracy {test.accuracy:.1%}"]
    parts += [f"tail {test.tail:.1%}"] if test.tail is not None else []
    parts += [f"worst cell {test.worst_cell:.1%}"] if test.worst_cell is not None else []
    return ", ".join(parts)


def _compare(
    run: _Run, data: TrainingData, results: Mapping[str, Mapping[int, Result]]
) -> TrainResult:
    """The methods side by side, where there are several; what the run gave."""
    recipe, out = run.recipe, run.folder.path
    counts = count_train(data, any(map(sees_synthetic, run.methods.values())))
    budget = budget_in_effect(recipe, list(run.methods.values()))
    subject = Subject(recipe.name, recipe.data.train, counts, len(data.test), budget)
    comparison = compare(subject, results) if recipe.compare else None
    if comparison is not None and run.is_main:
        write_json(out / "comparison.json", comparison.to_json())
        with atomic_write(out / "comparison.md") as file:
            file.write(comparison.to_markdown().encode())
        _draw(run, lambda: draw_comparison(out))
    return TrainResult(out, recipe, results, subject, comparison)


def _draw(run: _Run, draw: Callable[[], None]) -> None:
    """Pictures are an extra: where what they show is damaged, the run's figures stand."""
    try:
        draw()
    except (OSError, ValueError) as error:
        run.reporter.warn(f"The pictures can't be drawn: {str(error).rstrip('.')}.")


def _push(run: _Run, result: TrainResult) -> TrainResult:
    if run.destination is None:
        return result
    seeds = list(result.results[OWN])
    pushed = push_model(result.out, run.destination, run.recipe, seeds, run.reporter)
    return replace(result, pushed=pushed)
