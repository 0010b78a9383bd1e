"""Kills a run of `synfill balance` at random moments and starts it again, until it is done.

Used by tests/cli/test_kill.py (a few kills) and benchmarks/kill.py (many).
"""

from __future__ import annotations

import hashlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


class Process(Protocol):
    """A run that was started: a `subprocess.Popen`, or one of tests/forking.py."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; raises TimeoutExpired."""

    def kill(self) -> None:
        """Kill it."""


Start = Callable[[list[str]], Process]
"""Starts `synfill` with arguments."""


@dataclass
class Killed:
    """What happened.

    Attributes:
        moments: For each kill: seconds after the start, and what of the work was on disk then.
        runs: How many complete runs the kills were spread over.
        same: Whether each complete run's files are those of the uninterrupted run.
    """

    moments: list[tuple[float, str]] = field(default_factory=list)
    runs: int = 0
    same: list[bool] = field(default_factory=list)


def digest_tree(folder: Path) -> dict[str, str]:
    """Digest of every file below a folder, hidden ones too."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def run_with_kills(
    arguments: Sequence[str],
    folder: Path,
    kills: int,
    seed: int | None = None,
    start: Start | None = None,
    earliest: float = 0.3,
) -> Killed:
    """Run a `synfill balance` once undisturbed, then with so many kills, and compare.

    Args:
        arguments: Of `synfill balance`, without --out.
        folder: An empty folder to work in.
        kills: How many kills.
        seed: Of the moments; None for other ones every time.
        start: How the runs are started; None for a new Python each.
        earliest: No kill comes before this share of an undisturbed run: starting takes the better
            part of a short run, and there is little to break there.
    """
    start = start or _start
    chance = random.Random(seed)
    started = time.monotonic()
    start(_command(arguments, folder / "undisturbed")).wait()
    duration = time.monotonic() - started
    expected = digest_tree(folder / "undisturbed")
    found = Killed()
    while len(found.moments) < kills:
        out = folder / f"killed-{found.runs}"
        finished, is_whole = False, True
        while not finished:
            began = time.monotonic()
            process = start(_command(arguments, out))
            moment = float("inf")
            if len(found.moments) < kills:
                moment = chance.uniform(earliest, 1.0) * duration
            try:
                code = process.wait(None if moment == float("inf") else moment)
                if code != 0:
                    raise RuntimeError(f"the run ended with exit code {code}")
                finished = True
                if is_whole:
                    # The first run may have been slow for what else was going on: a moment in it
                    # would come after the end of most others.
                    duration = min(duration, time.monotonic() - began)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                is_whole = False
                found.moments.append((moment, _describe(out)))
        found.runs += 1
        found.same.append(digest_tree(out) == expected)
    return found


def heed_ctrl_c() -> None:
    """For the preexec_fn of a process that is to be sent SIGINT.

    What runs in the background of a shell starts with SIGINT ignored, and hands that on.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _command(arguments: Sequence[str], out: Path) -> list[str]:
    return ["balance", *arguments, "--out", str(out), "-q"]


def _start(arguments: list[str]) -> Process:
    command = [sys.executable, "-m", "synfill", *arguments]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def _describe(out: Path) -> str:
    work = out / ".synfill"
    if not out.exists():
        return "nothing"
    if (out / "synfill" / "run.json").exists():
        return "finished"
    shards = len(list((work / "shards").glob("*.parquet")))
    return f"{shards} shards" + (", assembling" if (work / "final").exists() else "")
