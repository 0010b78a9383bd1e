"""Where a run's history goes beside history.jsonl: TensorBoard, Weights & Biases."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from synfill.config.recipes.settings import Tracker
from synfill.errors import RunError, UsageError
from synfill.records import JsonObject


def check_trackers(names: Sequence[Tracker], is_main: bool) -> None:
    """Look whether the trackers can be had, before anything is read or trained.

    Args:
        names: Which ones.
        is_main: Whether this process is the one that logs.

    Raises:
        UsageError: A package isn't installed.
        RunError: Weights & Biases has no account to write to.
    """
    for name in names:
        if find_spec(name) is None:
            raise UsageError(
                f"hardware.trackers names {name}, which isn't installed.",
                f"Install it: pip install {name}",
            )
    if is_main and "wandb" in names:
        _log_in()


def _log_in() -> None:
    import wandb

    try:
        wandb.login()
    except wandb.errors.Error as error:
        raise RunError(
            f"hardware.trackers names wandb, which can't log in: {error}",
            "Run `wandb login`, or set WANDB_MODE=offline to keep its files in the output folder "
            "(`wandb sync` sends them later), or leave hardware.trackers out.",
        ) from error


@contextmanager
def open_trackers(
    names: Sequence[Tracker], project: str, run: str, folder: Path
) -> Iterator[Callable[[Sequence[JsonObject]], None]]:
    """Accelerate's trackers of one training run, for as long as it lasts.

    Args:
        names: Which ones; none will do.
        project: The recipe's name.
        run: The method and seed, as a name.
        folder: Where their files go.

    Yields:
        What logs the last epoch of a history.
    """
    from accelerate.tracking import GeneralTracker, TensorBoardTracker, WandBTracker

    trackers: list[GeneralTracker] = []
    if "tensorboard" in names:
        trackers.append(TensorBoardTracker(run, logging_dir=str(folder)))
    if "wandb" in names:
        # It writes to a temporary folder where this one isn't there yet.
        folder.mkdir(parents=True, exist_ok=True)
        trackers.append(WandBTracker(project, name=run, dir=str(folder)))
    for tracker in trackers:
        tracker.start()

    def log(history: Sequence[JsonObject]) -> None:
        entry = history[-1]
        shown = ("loss", "accuracy", "lr", "images_per_second")
        numbers = {f"train/{key}": entry[key] for key in shown}
        numbers |= {f"validation/{k}": v for k, v in entry.get("validation", {}).items()}
        for tracker in trackers:
            tracker.log(numbers, step=len(history))

    try:
        yield log
    finally:
        for tracker in trackers:
            tracker.finish()
