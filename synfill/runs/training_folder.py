"""The output folder of `synfill train`: whose it is, what in it is finished, who is at work in it.

OUT/recipe.yaml, run.json            the resolved recipe; what makes this run this run
OUT/method.json, seed-*/, ...        the recipe's own stages
OUT/METHOD/method.json, seed-*/, ... a method of a comparison
OUT/skipped.csv                      images that can't be used, where there are any
OUT/balanced/                        the balanced dataset, where the recipe has it made
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from synfill.errors import RunError, UsageError
from synfill.files import atomic_write, csv_text
from synfill.reading import read_regular
from synfill.records import JsonObject
from synfill.runs.folder import (
    OutputFolder,
    names_in,
    refuse_links,
    refuse_not_empty,
    refuse_other_identity,
    remove,
)
from synfill.runs.identity import differences
from synfill.runs.record import read_record, write_record
from synfill.runs.training_record import (
    METHOD,
    RUN,
    TrainingRecord,
    close_open,
    refuse_foreign_files,
    write_open,
)

RECIPE, RESULT = "recipe.yaml", "result.json"
CHECKPOINT = re.compile(r"stage-(\d+)-epoch-(\d+)")
"""What a checkpoint's folder is called."""
_SEED = re.compile(r"seed-\d+")
CONFIG, WEIGHTS = "config.json", "model.safetensors"
"""The files of a trained classifier."""
CURVES, CONFUSION, SIZES = "learning-curves.png", "confusion.png", "class-sizes.png"
COMPARED = "comparison.png"
"""The pictures of a method, and of a comparison (which has SIZES, too)."""
_OF_A_METHOD = (METHOD, "metrics.json", "predictions.parquet", CURVES, CONFUSION, SIZES)
_OF_A_COMPARISON = ("comparison.json", "comparison.md", COMPARED, SIZES)
_SKIPPED = "skipped.csv"


class SeedFolder:
    """What one training run leaves.

    Args:
        path: The folder.

    Attributes:
        path: The folder.
        model: The trained classifier.
        checkpoints: Work in progress.
        predictions: What it says of the test images.
        history: What every epoch gave.
        result: Its figures; the file's existence says that the run is finished.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.model = path / "model"
        self.checkpoints = path / "checkpoints"
        self.predictions = path / "predictions.parquet"
        self.history = path / "history.jsonl"
        self.result = path / RESULT

    def tidy(self) -> None:
        """Remove the checkpoints."""
        if self.checkpoints.is_symlink() or not self.checkpoints.is_dir():
            return
        for child in self.checkpoints.iterdir():
            if CHECKPOINT.fullmatch(child.name.removeprefix(".").removesuffix(".tmp")):
                shutil.rmtree(child, ignore_errors=True)
        _remove_empty(self.checkpoints)

    def files(self) -> list[Path]:
        """Where a training run leaves its files."""
        # First what says that the rest is there.
        classifier = (self.model / name for name in (CONFIG, WEIGHTS))
        return [self.result, self.history, self.predictions, *classifier]

    def clear(self) -> None:
        """Remove what a training run leaves here, and nothing else."""
        for path in self.files():
            path.unlink(missing_ok=True)
        self.tidy()
        _remove_empty(self.model)
        _remove_empty(self.path)

    def write_history(self, history: Sequence[JsonObject]) -> None:
        """One line an epoch."""
        with atomic_write(self.history) as file:
            file.write("".join(json.dumps(entry) + "\n" for entry in history).encode())


@dataclass(frozen=True)
class MethodFolder:
    """What one method leaves.

    Attributes:
        path: The folder.
        out: The run's output folder, whose record says which files are the run's own.
    """

    path: Path
    out: Path

    def seed(self, seed: int) -> SeedFolder:
        """The folder of one of its training runs."""
        return SeedFolder(self.path / f"seed-{seed}")

    def begin(self, identity: JsonObject, overwrite: bool) -> None:
        """Make the folder ready, after looking whether what is in it was made alike.

        With `overwrite` results of another identity are removed; those of this one stay.

        Raises:
            UsageError: It holds results of another identity and `overwrite` is off.
        """
        self.check(identity, overwrite)
        record = self.path / METHOD
        if _is_other(record, identity, overwrite):
            if overwrite:
                self.clear()
            write_record(record, identity)

    def check(self, identity: JsonObject, overwrite: bool) -> None:
        """Look whether what is in the folder was made alike. Changes nothing.

        Raises:
            UsageError: It holds results of another identity and `overwrite` is off.
        """
        self._check_folders()
        record = self.path / METHOD
        is_known = _check_record(record, identity, overwrite, self.out, self.files)
        if not is_known and (found := self._seeds()):
            raise UsageError(
                f"{found[0]} is there already, but not {METHOD}, which says what it is of.",
                "Choose another --out, or add --overwrite.",
            )

    def _check_folders(self) -> None:
        if self.path != self.out:
            refuse_links([self.path])
        for folder in self._seeds(with_files=True):
            for path in (folder, SeedFolder(folder).model, SeedFolder(folder).checkpoints):
                refuse_links([path])
                # Before an epoch is trained that couldn't be kept.
                if path.exists() and not path.is_dir():
                    raise UsageError(
                        f"{path} is a file, where synfill train makes a folder.",
                        "Move it elsewhere, or choose another --out.",
                    )

    def _seeds(self, with_files: bool = False) -> list[Path]:
        """The folders of training runs, links among them; also what is none but is called so."""
        names = sorted(filter(_SEED.fullmatch, names_in(self.path)))
        found = [self.path / name for name in names]
        return [path for path in found if with_files or path.is_dir() or path.is_symlink()]

    def _seed_folders(self) -> list[SeedFolder]:
        return [SeedFolder(path) for path in self._seeds() if not path.is_symlink()]

    def files(self) -> list[Path]:
        """Where a method leaves its files, as far as there are such."""
        found = [self.path / name for name in _OF_A_METHOD]
        found += [path for folder in self._seed_folders() for path in folder.files()]
        return [path for path in found if os.path.lexists(path)]

    def clear(self) -> None:
        """Remove what a method leaves, and nothing else."""
        for name in _OF_A_METHOD:
            (self.path / name).unlink(missing_ok=True)
        for folder in self._seed_folders():
            folder.clear()
        _remove_empty(self.path)


class RunFolder(OutputFolder):
    """The output folder of a training run.

    Args:
        path: The folder; it need not exist.

    Attributes:
        balanced: The balanced dataset, where the recipe has it made.
        skipped: The list of images that can't be used.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.balanced = path / "balanced"
        self.skipped = path / _SKIPPED

    def method(self, name: str | None) -> MethodFolder:
        """The folder of a method; None for the recipe's own stages."""
        return MethodFolder(self.path / name if name is not None else self.path, self.path)

    def check(self, identity: JsonObject, overwrite: bool) -> None:
        """Look whether the folder can be used for this recipe. Changes nothing.

        Args:
            identity: What of the recipe decides all methods' results.
            overwrite: Whether results of another recipe may be replaced.

        Raises:
            UsageError: It is a file, can't be written to, or holds something else.
        """
        self.check_writable()
        refuse_links([self.work, self.balanced])
        record = self.path / RUN
        if not _check_record(record, identity, overwrite, self.path, self._files):
            # A balanced dataset is ours: a run may have been stopped while it was made.
            others = names_in(self.path) - {self.work.name, self.balanced.name}
            what = "is not empty, and holds no run of synfill train"
            refuse_not_empty(self.path, others, what, "synfill train writes there")

    def begin(self) -> None:
        """Take the folder for this process.

        Raises:
            RunError: Another process is at work here.
        """
        self._lock.acquire()

    def claim(self, identity: JsonObject, recipe: str, overwrite: bool) -> None:
        """Write down what recipe the results here are of, before there are any.

        Args:
            identity: As for `check`.
            recipe: The resolved recipe, as YAML.
            overwrite: Whether the results of another recipe, of all its methods, are removed.

        Raises:
            UsageError: As `check`, if another process was at work here since then.
        """
        # Again, now that it is this process's alone.
        self.check(identity, overwrite)
        if _holds_other(self.path / RECIPE, recipe):
            # Whoever edits it means to run it, and would lose that.
            refuse_foreign_files(self.path, [self.path / RECIPE])
        if overwrite and _is_other(self.path / RUN, identity, overwrite):
            for folder in self._methods():
                folder.clear()
            for name in _OF_A_COMPARISON:
                (self.path / name).unlink(missing_ok=True)
        write_open(self.path, identity, self._files())
        with atomic_write(self.path / RECIPE) as file:
            file.write(recipe.encode())

    def write_skipped(self, images: Sequence[tuple[str, str, str]]) -> None:
        """List the images that were left out: what each was for, where it is, why."""
        if not images:
            self.skipped.unlink(missing_ok=True)
            return
        with atomic_write(self.skipped) as file:
            file.write(csv_text(("role", "image", "reason"), images).encode())

    def release(self, is_finished: bool) -> None:
        """Let other processes take the folder.

        Args:
            is_finished: Whether what was only needed while at work can be removed.
        """
        if not self._lock.is_held:
            return
        try:
            self._list_files()
            if is_finished:
                # All but the lock, which is held until it is let go.
                for child in {*self.work.iterdir()} - {self._lock.path}:
                    with contextlib.suppress(OSError):
                        remove(child)
        finally:
            # A run that was refused leaves nothing behind, not even the folder that it made.
            self._lock.release()

    def _list_files(self) -> None:
        with contextlib.suppress(OSError, RunError):
            close_open(self.path, self._files())

    def _methods(self) -> list[MethodFolder]:
        """The folders that a method of ours left, OUT itself among them."""
        folders = (self.path, *(self.path / name for name in sorted(names_in(self.path))))
        return [
            MethodFolder(folder, self.path)
            for folder in folders
            if os.path.lexists(folder / METHOD) and not folder.is_symlink()
        ]

    def _files(self) -> list[Path]:
        """Where runs leave their files, as far as there are such."""
        found = [self.path / name for name in (RECIPE, _SKIPPED, *_OF_A_COMPARISON)]
        found = [path for path in found if os.path.lexists(path)]
        return found + [path for folder in self._methods() for path in folder.files()]


def _is_other(path: Path, identity: JsonObject, ignore_damage: bool) -> bool:
    """Whether a record isn't there, or is of another identity.

    Raises:
        RunError: It is damaged, and that isn't to be ignored.
    """
    record = read_record(path, TrainingRecord, ignore_damage)
    return record is None or bool(differences(record.identity, identity))


def _check_record(
    path: Path,
    identity: JsonObject,
    overwrite: bool,
    out: Path,
    list_files: Callable[[], Sequence[Path]],
) -> bool:
    """Look whether what a record is of may stay, or be replaced; say whether that is known.

    Raises:
        UsageError: It is of another identity and `overwrite` is off, or files of others are there.
        RunError: It is damaged and `overwrite` is off.
    """
    if overwrite:
        if _is_other(path, identity, overwrite):
            refuse_foreign_files(out, list_files())
        return True
    record = read_record(path, TrainingRecord)
    if record is None:
        return False
    changed = differences(record.identity, identity)
    refuse_other_identity(path.parent, "a run with other settings or data", changed)
    return True


def _holds_other(path: Path, text: str) -> bool:
    """Whether something is there that isn't a file of this text."""
    try:
        return read_regular(path) != text.encode()
    except FileNotFoundError:
        return path.is_symlink()
    except OSError:
        return True


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()
