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

from filelock import FileLock, Timeout

from synfill.errors import RunError, UsageError
from synfill.files import atomic_write, csv_text
from synfill.records import JsonObject

RUN, METHOD, RECIPE, RESULT = "run.json", "method.json", "recipe.yaml", "result.json"
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

    def clear(self) -> None:
        """Remove what a training run leaves here, and nothing else."""
        # First what says that the rest is there.
        names = (
            RESULT,
            _HISTORY,
            self.predictions.name,
            *(f"model/{name}" for name in (CONFIG, WEIGHTS)),
        )
        for name in names:
            (self.path / name).unlink(missing_ok=True)
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
    """

    path: Path

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
        earlier = _read(self.path / METHOD)
        if overwrite and (earlier is None or differences(earlier, identity)):
            self.clear()
            earlier = None
        if earlier is None:
            _write(self.path / METHOD, identity)

    def check(self, identity: JsonObject, overwrite: bool) -> None:
        """Look whether what is in the folder was made alike. Changes nothing.

        Raises:
            UsageError: It holds results of another identity and `overwrite` is off.
        """
        if overwrite:
            return
        earlier = _read(self.path / METHOD)
        if earlier is not None:
            _refuse(self.path, differences(earlier, identity))
        elif found := self._seeds():
            raise UsageError(
                f"{found[0]} is there already, but not {METHOD}, which says what it is of.",
                "Choose another --out, or add --overwrite.",
            )

    def _seeds(self) -> list[Path]:
        children = sorted(self.path.iterdir()) if self.path.is_dir() else []
        return [child for child in children if _SEED.fullmatch(child.name) and child.is_dir()]

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
        self.skipped = path / "skipped.csv"
        self.work = path / ".synfill"
        self._lock: FileLock | None = None

    def method(self, name: str | None) -> MethodFolder:
        """The folder of a method; None for the recipe's own stages."""
        return MethodFolder(self.path / name if name is not None else self.path)

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
        place = self.path.absolute()
        while not place.exists():
            place = place.parent
        if not os.access(place, os.W_OK | os.X_OK):
            raise UsageError(
                f"Nothing can be written to {place}, where the output folder {self.path} is to be.",
                "Choose another place with --out.",
            )
        earlier = _read(self.path / RUN)
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
        self.work.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self.work / "lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            self._lock = None
            raise RunError(
                f"Another synfill run is writing to {self.path}.",
                "Wait for it to end, or choose another --out.",
            ) from None

    def claim(self, identity: JsonObject, recipe: str, overwrite: bool) -> None:
        """Write down what recipe the results here are of, before there are any.

        Args:
            identity: As for `check`.
            recipe: The resolved recipe, as YAML.
            overwrite: Whether the results of another recipe, of all its methods, are removed.
        """
        earlier = _read(self.path / RUN)
        if overwrite and earlier is not None and differences(earlier, identity):
            for folder in (self.path, *self.path.iterdir()):
                if (folder / METHOD).is_file() and not folder.is_symlink():
                    MethodFolder(folder).clear()
            for name in ("comparison.json", "comparison.md", COMPARED, SIZES):
                (self.path / name).unlink(missing_ok=True)
        _write(self.path / RUN, identity)
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
        if self._lock is not None:
            self._lock.release()
            self._lock = None
            if is_finished:
                shutil.rmtree(self.work, ignore_errors=True)
            # A run that was refused leaves nothing behind, not even the folder that it made.
            (self.work / "lock").unlink(missing_ok=True)
            for folder in (self.work, self.path):
                _remove_empty(folder)


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


def _write(path: Path, content: JsonObject) -> None:
    with atomic_write(path) as file:
        file.write((json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


def _read(path: Path) -> JsonObject | None:
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise RunError(f"{path} can't be read: {error}.", "Restore it, or remove it.") from None
    if not isinstance(content, dict):
        raise RunError(f"{path} holds no JSON object.", "Restore it, or remove it.")
    return content
