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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from synfill.errors import RunError, UsageError
from synfill.files import atomic_write, csv_text
from synfill.reading import read_regular
from synfill.records import JsonObject
from synfill.runs.lock import FolderLock
from synfill.runs.ownership import (
    METHOD,
    RUN,
    is_open,
    own_files,
    read_identity,
    refuse_foreign,
    write_record,
)

RECIPE, RESULT = "recipe.yaml", "result.json"
CHECKPOINT = re.compile(r"stage-(\d+)-epoch-(\d+)")
"""What a checkpoint's folder is called."""
_SEED = re.compile(r"seed-\d+")
CONFIG, WEIGHTS = "config.json", "model.safetensors"
"""The files of a trained classifier."""
_HISTORY = "history.jsonl"
CURVES, CONFUSION, SIZES = "learning-curves.png", "confusion.png", "class-sizes.png"
COMPARED = "comparison.png"
"""The pictures of a method, and of a comparison (which has SIZES, too)."""
_OF_A_METHOD = (METHOD, "metrics.json", "predictions.parquet", CURVES, CONFUSION, SIZES)
_OF_A_COMPARISON = ("comparison.json", "comparison.md", COMPARED, SIZES)
_SKIPPED = "skipped.csv"


@dataclass(frozen=True)
class SeedFolder:
    """What one training run leaves.

    Attributes:
        path: The folder.
    """

    path: Path

    @property
    def model(self) -> Path:
        """The trained classifier."""
        return self.path / "model"

    @property
    def checkpoints(self) -> Path:
        """Work in progress."""
        return self.path / "checkpoints"

    @property
    def predictions(self) -> Path:
        """What it says of the test images."""
        return self.path / "predictions.parquet"

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
        names = (RESULT, _HISTORY, self.predictions.name)
        return [
            *(self.path / name for name in names),
            *(self.model / name for name in (CONFIG, WEIGHTS)),
        ]

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

    @property
    def history(self) -> Path:
        """What every epoch gave."""
        return self.path / _HISTORY

    @property
    def result(self) -> Path:
        """Its figures; the file's existence says that the run is finished."""
        return self.path / RESULT


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
        earlier = read_identity(self.path / METHOD, overwrite)
        if overwrite and (earlier is None or differences(earlier, identity)):
            self.clear()
            earlier = None
        if earlier is None:
            write_record(self.path / METHOD, identity)

    def check(self, identity: JsonObject, overwrite: bool) -> None:
        """Look whether what is in the folder was made alike. Changes nothing.

        Raises:
            UsageError: It holds results of another identity and `overwrite` is off.
        """
        self._check_links()
        earlier = read_identity(self.path / METHOD, overwrite)
        if overwrite:
            if earlier is None or differences(earlier, identity):
                refuse_foreign(self.out, self.files())
        elif earlier is not None:
            _refuse(self.path, differences(earlier, identity))
        elif found := self._seeds():
            raise UsageError(
                f"{found[0]} is there already, but not {METHOD}, which says what it is of.",
                "Choose another --out, or add --overwrite.",
            )

    def _check_links(self) -> None:
        if self.path != self.out:
            _refuse_link(self.path)
        names = sorted(os.listdir(self.path)) if self.path.is_dir() else []
        for folder in (self.path / name for name in names if _SEED.fullmatch(name)):
            for path in (folder, SeedFolder(folder).model, SeedFolder(folder).checkpoints):
                _refuse_link(path)
                # Before an epoch is trained that couldn't be kept.
                if os.path.lexists(path) and not path.is_dir():
                    raise UsageError(
                        f"{path} is a file, where synfill train makes a folder.",
                        "Move it elsewhere, or choose another --out.",
                    )

    def _seeds(self) -> list[Path]:
        children = sorted(self.path.iterdir()) if self.path.is_dir() else []
        return [child for child in children if _SEED.fullmatch(child.name) and _is_folder(child)]

    def files(self) -> list[Path]:
        """Where a method leaves its files, as far as there are such."""
        found = [self.path / name for name in _OF_A_METHOD]
        for folder in self._seeds():
            if not folder.is_symlink():
                found += SeedFolder(folder).files()
        return [path for path in found if os.path.lexists(path)]

    def clear(self) -> None:
        """Remove what a method leaves, and nothing else."""
        for name in _OF_A_METHOD:
            (self.path / name).unlink(missing_ok=True)
        for folder in self._seeds():
            if not folder.is_symlink():
                SeedFolder(folder).clear()
        _remove_empty(self.path)


class RunFolder:
    """The output folder of a run.

    Args:
        path: The folder; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.balanced = path / "balanced"
        self.skipped = path / _SKIPPED
        self.work = path / ".synfill"
        self._lock = FolderLock(self.work)

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
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"{self.path} is a file; --out names a folder.")
        if self.path.is_symlink() and not self.path.exists():
            raise UsageError(
                f"{self.path} is a symbolic link that leads nowhere.",
                "Make the folder that it should lead to, or choose another --out.",
            )
        place = self.path.absolute()
        while not place.exists():
            place = place.parent
        if not os.access(place, os.W_OK | os.X_OK):
            raise UsageError(
                f"Nothing can be written to {place}, where the output folder {self.path} is to be.",
                "Choose another place with --out.",
            )
        _refuse_link(self.work)
        _refuse_link(self.balanced)
        earlier = read_identity(self.path / RUN, overwrite)
        if overwrite and (earlier is None or differences(earlier, identity)):
            refuse_foreign(self.path, _written(self.path))
        if earlier is not None:
            if not overwrite:
                _refuse(self.path, differences(earlier, identity))
            return
        # A balanced dataset is ours: a run may have been stopped while it was made.
        names = os.listdir(self.path) if self.path.is_dir() else []
        others = sorted(set(names) - {self.work.name, self.balanced.name})
        if others and not overwrite:
            listed = ", ".join(others[:5]) + (", ..." if len(others) > 5 else "")
            raise UsageError(
                f"The output folder {self.path} is not empty, and holds no run of synfill train: "
                f"{listed}.",
                "Choose another --out. Or add --overwrite: it replaces what synfill train writes "
                "there and leaves other files alone.",
            )

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
            refuse_foreign(self.path, [self.path / RECIPE])
        earlier = read_identity(self.path / RUN, overwrite)
        if overwrite and (earlier is None or differences(earlier, identity)):
            for folder in _method_folders(self.path):
                folder.clear()
            for name in _OF_A_COMPARISON:
                (self.path / name).unlink(missing_ok=True)
        own = own_files(self.path, _written(self.path))
        # Until they are listed, what is newer than this file is the run's own.
        write_record(self.path / RUN, identity | {"files": own, "is_open": True})
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
                    if child.is_dir() and not child.is_symlink():
                        shutil.rmtree(child, ignore_errors=True)
                    else:
                        child.unlink(missing_ok=True)
        finally:
            # A run that was refused leaves nothing behind, not even the folder that it made.
            self._lock.release()

    def _list_files(self) -> None:
        """Write down which files the run wrote, so that no later one takes others for them."""
        with contextlib.suppress(OSError, RunError):
            identity = read_identity(self.path / RUN)
            if identity is not None and is_open(self.path):
                own = own_files(self.path, _written(self.path))
                write_record(self.path / RUN, identity | {"files": own})


def _method_folders(out: Path) -> list[MethodFolder]:
    """The folders in OUT that a method of ours left, OUT itself among them."""
    children = sorted(out.iterdir()) if out.is_dir() else []
    return [
        MethodFolder(folder, out)
        for folder in (out, *children)
        if os.path.lexists(folder / METHOD) and not folder.is_symlink()
    ]


def _written(out: Path) -> list[Path]:
    """Where runs leave their files in OUT, as far as there are such."""
    names = (RECIPE, _SKIPPED, *_OF_A_COMPARISON)
    found = [out / name for name in names if os.path.lexists(out / name)]
    return found + [path for folder in _method_folders(out) for path in folder.files()]


def _refuse_link(path: Path) -> None:
    """Stop before what is written or removed lies where a link leads.

    Raises:
        UsageError: The path is a symbolic link.
    """
    if path.is_symlink():
        raise UsageError(
            f"{path} is a symbolic link: synfill would write and delete where it leads.",
            "Remove the link, or choose another --out.",
        )


def _is_folder(path: Path) -> bool:
    """Whether it is a folder, or a link, which may lead to one some time."""
    return path.is_dir() or path.is_symlink()


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


def differences(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """What changed between two identities: one line for each key path, at most ten."""
    flat_before, flat_now = _flatten(before), _flatten(json.loads(json.dumps(now)))
    changed = [
        f"{key}: {_short(flat_before.get(key))} -> {_short(flat_now.get(key))}"
        for key in dict.fromkeys([*flat_before, *flat_now])
        if flat_before.get(key) != flat_now.get(key)
    ]
    more = len(changed) - 10
    return changed[:10] + ([f"... and {more} more"] if more > 0 else [])


def _flatten(value: object, path: str = "") -> dict[str, object]:
    if isinstance(value, Mapping):
        parts = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        parts = [(str(index), item) for index, item in enumerate(value)]
    else:
        return {path: value}
    flat: dict[str, object] = {}
    for key, item in parts:
        flat |= _flatten(item, f"{path}.{key}" if path else key)
    return flat


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _refuse(path: Path, changed: list[str]) -> None:
    if changed:
        raise UsageError(
            f"The output folder {path} holds a run with other settings or data:\n"
            + "\n".join(f"  {line}" for line in changed),
            "Use the former ones, choose another --out, or add --overwrite.",
        )
