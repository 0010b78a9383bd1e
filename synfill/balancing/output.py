"""The output folder: whose it is, what state it is in, and how a finished dataset gets there.

Everything is made below OUT/.synfill/ and moved into place at the end, so that OUT is a whole
dataset or none, whenever the process is killed.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from synfill.errors import RunError, UsageError
from synfill.files import atomic_write
from synfill.records import JsonObject

State = Literal["new", "resume", "finished"]
PLAN = "synfill/plan.parquet"
RUN = "synfill/run.json"


class OutputFolder:
    """An output folder.

    Args:
        path: The folder; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.work = path / ".synfill"
        self.shards = self.work / "shards"
        self.final = self.work / "final"
        self._done = path / ".synfill-done"
        self._lock: FileLock | None = None

    def state(
        self,
        identity: Mapping[str, object],
        overwrite: bool,
        unsure: Collection[str] = (),
    ) -> State:
        """What a run of this identity finds here. Changes nothing.

        Args:
            identity: What decides the result, by setting.
            overwrite: Whether what stands in the way may be replaced.
            unsure: Keys of the identity that aren't known yet: they count as unchanged.

        Returns:
            "new": the run starts from nothing; "resume": it goes on; "finished": the dataset is
            there already.

        Raises:
            UsageError: The folder holds something else and `overwrite` is off.
        """
        started = self._read(self.work / "state.json", overwrite)
        if started is not None and any(self.shards.glob("*.parquet")):
            changed = _differences(started.get("identity", {}), identity, unsure)
            if not changed:
                return "resume"
            self._refuse(overwrite, "an unfinished run with other settings", changed)
            return "new"
        finished = self._read(self.path / RUN, overwrite)
        if finished is not None:
            changed = _differences(finished.get("identity", {}), identity, unsure)
            if not changed and not overwrite:
                return "finished"
            self._refuse(overwrite, "a finished dataset made with other settings", changed)
            return "new"
        self.check_place(overwrite)
        return "new"

    def check_place(self, overwrite: bool) -> None:
        """Check what can be told before anything is known of the run.

        Raises:
            UsageError: It is a file, can't be written to, or holds what no run of ours made and
                `overwrite` is off.
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
        ours = (self.work / "state.json").exists() or (self.path / RUN).exists()
        if overwrite or ours or not self.path.exists():
            return
        # A dry run leaves the plan alone: nothing that anyone would miss.
        others = sorted(set(os.listdir(self.path)) - {".synfill", ".synfill-done"})
        if others and (
            others != ["synfill"] or os.listdir(self.path / "synfill") != ["plan.parquet"]
        ):
            listed = ", ".join(others[:5]) + (", ..." if len(others) > 5 else "")
            raise UsageError(
                f"The output folder {self.path} is not empty: {listed}.",
                "Choose another --out. Or add --overwrite: it replaces what synfill writes there "
                "(README.md, data/, synfill/, the splits) and leaves other files alone.",
            )

    def _refuse(self, overwrite: bool, what: str, changed: list[str]) -> None:
        if not overwrite:
            raise UsageError(
                f"The output folder {self.path} holds {what}:\n"
                + "\n".join(f"  {line}" for line in changed),
                "Use the former settings, choose another --out, or add --overwrite.",
            )

    def begin(self, state: State, content: JsonObject) -> JsonObject:
        """Take the folder for this process and make it ready.

        Args:
            state: "new" or "resume", as `state` gave it.
            content: For a new run: what is to be remembered, `identity` among it.

        Returns:
            What is remembered: `content`, or on resuming what the first start wrote.

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
        _remove(self._done)
        _remove(self.final)
        if state == "resume":
            remembered = self._read(self.work / "state.json")
            assert remembered is not None
            return remembered
        _remove(self.shards)
        (self.work / "state.json").unlink(missing_ok=True)
        with atomic_write(self.work / "state.json") as file:
            file.write(json.dumps(content, indent=1, sort_keys=True).encode())
        return content

    def holds_dataset(self) -> bool:
        """Whether a finished dataset is here, or anything else that no dry run may touch."""
        return (self.path / RUN).exists() or (self.path / "data").exists()

    def read_record(self) -> JsonObject:
        """run.json of the finished dataset."""
        record = self._read(self.path / RUN)
        assert record is not None
        # A run that was killed just after its last rename left this.
        _remove(self._done)
        return record

    def release(self) -> None:
        """Let other processes take the folder."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def commit(self) -> None:
        """Move what is in `final` into place, replacing what an earlier run put there.

        run.json is moved last: a folder that has it is whole.
        """
        earlier = self._read(self.path / RUN, ignore_damage=True) or {}
        ours = {child.name for child in self.final.iterdir()}
        replaced = {*earlier.get("entries", []), *ours} - {"synfill"}
        # Names from a file are only compared with what is there: none becomes a path ("..").
        for name in replaced.intersection(os.listdir(self.path)):
            _remove(self.path / name)
        (self.path / RUN).unlink(missing_ok=True)
        for name in sorted(ours - {"synfill"}):
            os.replace(self.final / name, self.path / name)
        info = self.path / "synfill"
        info.mkdir(exist_ok=True)
        for child in sorted((self.final / "synfill").iterdir(), key=lambda p: p.name == "run.json"):
            os.replace(child, info / child.name)
        self.release()
        # One rename ends the work: the shards are never seen half removed.
        os.replace(self.work, self._done)
        _remove(self._done)

    @staticmethod
    def _read(path: Path, ignore_damage: bool = False) -> JsonObject | None:
        try:
            content = json.loads(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            if ignore_damage:
                return {}
            raise RunError(
                f"{path} can't be read: {error}.", "Add --overwrite to begin anew."
            ) from None
        return content if isinstance(content, dict) else {}


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _differences(
    before: Mapping[str, object], now: Mapping[str, object], unsure: Collection[str]
) -> list[str]:
    """What changed between two identities, one line each."""
    lines = []
    # Through JSON, as the earlier one went: a tuple is a list there.
    current = json.loads(json.dumps(now))
    for key in dict.fromkeys([*before, *current]):
        if key not in unsure and before.get(key) != current.get(key):
            lines.append(f"{key}: {_short(before.get(key))} -> {_short(current.get(key))}")
    return lines


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
