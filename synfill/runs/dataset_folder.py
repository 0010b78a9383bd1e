"""The output folder: whose it is, what state it is in, and how a finished dataset gets there.

Everything is made below OUT/.synfill/ and moved into place at the end, so that OUT is a whole
dataset or none, whenever the process is killed:

state.json, plan.parquet   the run in progress
shards/, shards-2/         its finished images
final/                     the dataset while it is assembled
commit.json                from here on it is moved: what begins is brought to its end
old/                       what it replaces
lock                       while a process is at work
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from synfill.errors import RunError, UsageError
from synfill.generation.fill.shard import Shard, find_layout, find_shards
from synfill.reporter import LogReporter, Reporter
from synfill.runs.commit import Mover, remove
from synfill.runs.dataset_record import (
    SHARD_FOLDERS,
    RunRecord,
    RunState,
    ShardFolder,
    as_json,
    differences,
    digest_identity,
    is_more_of,
    read_record,
    write_record,
)
from synfill.runs.lock import FolderLock
from synfill.runs.replacing import RUN, Replacing, listed_files

State = Literal["new", "resume", "extend", "finished"]


class OutputFolder:
    """An output folder.

    Args:
        path: The folder; it need not exist.
        reporter: Told of what was damaged and could be mended.

    Attributes:
        shards: Where the finished images are of the run in progress.
        plan: Its plan.
        final: Where the dataset is assembled.
        started: What is remembered of it, as `state` found it; None if nothing is finished.
    """

    def __init__(self, path: Path, reporter: Reporter | None = None) -> None:
        self.path = path
        self.work = path / ".synfill"
        self.plan = self.work / "plan.parquet"
        self._mover = Mover(path, self.work)
        self.final = self._mover.final
        self.shards = self.work / "shards"
        self._state = self.work / "state.json"
        self._lock = FolderLock(self.work)
        self._reporter = reporter or LogReporter()
        self.started: RunState | None = None
        self._completed: Mapping[str, object] | None = None
        self._is_mended = False
        self._may_overwrite = False
        self._replacing = Replacing(path, ())

    def state(
        self,
        identity: Mapping[str, object],
        overwrite: bool,
        unsure: Collection[str] = (),
    ) -> State:
        """What a run of this identity finds here. Changes nothing.

        Without the lock it is what was true a moment ago: `take` the folder and ask again.

        Args:
            identity: What decides the result, by setting.
            overwrite: Whether what stands in the way may be replaced.
            unsure: Keys of the identity that aren't known yet: they count as unchanged.

        Returns:
            "new": the run starts from nothing; "resume": it goes on; "extend": it takes over the
            images of a run that asked for fewer; "finished": the dataset is there already.

        Raises:
            UsageError: The folder holds something else and `overwrite` is off.
            RunError: A record in it is damaged and `overwrite` is off.
        """
        self._may_overwrite = overwrite
        self._check_links()
        started = self.started = self._read_state(identity, overwrite, unsure)
        if started is not None:
            self.shards = self.work / started.shards
            changed = differences(started.identity, identity, unsure)
            if not changed:
                return "resume"
            if is_more_of(started.identity, identity, unsure):
                return "extend"
            self._refuse(overwrite, "an unfinished run with other settings", changed)
            return "new"
        finished = self.read_finished(overwrite)
        if finished is not None:
            changed = differences(finished.identity, identity, unsure)
            # Its commit was cut off, and this process has just completed it.
            if not changed and (not overwrite or self._completed == finished.identity):
                self._check_whole(finished)
                return "finished"
            if changed and not overwrite and is_more_of(finished.identity, identity, unsure):
                return "extend"
            self._refuse(overwrite, "a finished dataset made with other settings", changed)
            return "new"
        self.check_place(overwrite)
        return "new"

    def _check_whole(self, record: RunRecord) -> None:
        """Whether the dataset still has its files. The card may have been edited."""
        for name, entry in (listed_files(record) or {}).items():
            path = self.path / name
            is_there = path.is_file() and path.stat().st_size == entry.bytes
            if not is_there and name != "README.md" and path.parent.is_relative_to(self.path):
                raise RunError(
                    f"The dataset in {self.path} isn't whole any more: {name} is missing, or has "
                    "another size.",
                    "Restore it, choose another --out, or add --overwrite to make it anew.",
                )

    def check_place(self, overwrite: bool) -> None:
        """Check what can be told before anything is known of the run.

        Raises:
            UsageError: It is a file, can't be written to, or holds what no run of ours made and
                `overwrite` is off.
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
        self._check_links()
        ours = self._state.exists() or self._mover.is_begun() or (self.path / RUN).exists()
        if overwrite or ours or not self.path.exists():
            return
        # A dry run leaves the plan alone: nothing that anyone would miss.
        others = sorted(_names(self.path) - {".synfill", ".synfill-done"})
        if others and (others != ["synfill"] or _names(self.path / "synfill") != {"plan.parquet"}):
            listed = ", ".join(others[:5]) + (", ..." if len(others) > 5 else "")
            raise UsageError(
                f"The output folder {self.path} is not empty: {listed}.",
                "Choose another --out. Or add --overwrite: it replaces what synfill wrote there "
                "(README.md, data/, synfill/, the splits) and leaves other files alone.",
            )

    def _check_links(self) -> None:
        """What is written to or removed must lie in the folder, not where a link leads."""
        below = (f".synfill/{name}" for name in (*SHARD_FOLDERS, "final", "old"))
        for name in (".synfill", "synfill", "data", *below):
            if (self.path / name).is_symlink():
                raise UsageError(
                    f"{self.path / name} is a symbolic link: synfill would write and delete where "
                    "it leads.",
                    "Remove the link, or choose another --out.",
                )

    def _refuse(self, overwrite: bool, what: str, changed: list[str]) -> None:
        if not overwrite:
            raise UsageError(
                f"The output folder {self.path} holds {what}:\n"
                + "\n".join(f"  {line}" for line in changed),
                "Use the former settings, choose another --out, or add --overwrite.",
            )

    def _read_state(
        self, identity: Mapping[str, object], overwrite: bool, unsure: Collection[str]
    ) -> RunState | None:
        """The run in progress, if it has finished anything; mended from its shards where its own
        record is damaged.
        """
        error: RunError | None = None
        started: RunState | None = None
        try:
            started = read_record(self._state, RunState)
        except RunError as damaged:
            error = damaged
        if started is not None:
            run = digest_identity(started.identity)
            shards = self._shards_of(started.shards, ("", run))
            layout = find_layout(shards, started.batch_size, started.shard_size, self._total())
            if not shards:
                return None
            if layout == (started.batch_size, started.shard_size) or layout is None:
                return started
            self._tell_mended()
            return started.model_copy(update={"batch_size": layout[0], "shard_size": layout[1]})
        run = digest_identity(identity)
        is_anything_there = False
        for name in SHARD_FOLDERS:
            is_anything_there |= bool(find_shards(self.work / name))
            # Whose shards they are can't be told before all is known; then it is asked again.
            shards = find_shards(self.work / name) if unsure else self._shards_of(name, (run,))
            layout = find_layout(shards, 0, 0, self._total())
            if layout is not None:
                self._tell_mended()
                return RunState(
                    identity=as_json(identity),
                    batch_size=layout[0],
                    shard_size=layout[1],
                    shards=name,
                )
        if overwrite or not is_anything_there:
            return None
        if error is None and self._state.exists():
            # Another process has begun in this moment.
            return self._read_state(identity, overwrite, unsure)
        raise error or RunError(
            f"{self.work} holds finished images, but no {self._state.name}, which says what they "
            "are of.",
            "Restore it, choose another --out, or add --overwrite to begin anew.",
        )

    def _shards_of(self, name: str, runs: Collection[str]) -> dict[int, Shard]:
        found = find_shards(self.work / name)
        return {index: shard for index, shard in found.items() if shard.run in runs}

    def _total(self) -> int | None:
        """How many requests the run in progress has, where its plan can be read."""
        try:
            if self.plan.is_file():
                return int(pq.read_metadata(self.plan).num_rows)
        except (OSError, pa.ArrowException):
            pass
        return None

    def _tell_mended(self) -> None:
        if not self._is_mended:
            self._is_mended = True
            self._reporter.warn(
                f"{self._state} is damaged; what it should say was found in the finished images."
            )

    def read_finished(self, overwrite: bool = False) -> RunRecord | None:
        """run.json of the finished dataset; None if there is none.

        Raises:
            RunError: It is damaged and `overwrite` is off.
        """
        try:
            return read_record(self.path / RUN, RunRecord)
        except RunError:
            if overwrite:
                return None
            raise

    def take(self) -> None:
        """Take the folder for this process, and complete a commit that was cut off.

        Raises:
            RunError: Another process is at work here, or that commit's record is damaged.
        """
        self._check_links()
        self._lock.acquire()
        try:
            self._complete()
        except BaseException:
            self.release()
            raise

    def is_cut_off(self) -> bool:
        """Whether a commit was begun and not brought to its end; `take` does that."""
        return self._mover.has_left()

    def is_committed(self) -> bool:
        """Whether the dataset is whole in its place, or will be as soon as the folder is taken."""
        return self._mover.is_begun() or self._completed is not None

    def check_replaced(self, replacing: Replacing) -> None:
        """Look whether what the run would replace is what an earlier one wrote.

        Args:
            replacing: What the run writes and reads; remembered for the commit.

        Raises:
            UsageError: Something else is there.
        """
        self._replacing = replacing
        self._find_replaced()

    def _find_replaced(self) -> tuple[list[str], RunRecord | None]:
        record = self.read_finished(overwrite=True)
        is_damaged = record is None and os.path.lexists(self.path / RUN)
        return self._replacing.find(record, is_damaged), record

    def empty(self, name: ShardFolder) -> Path:
        """A folder for shards beside those of the run in progress, emptied."""
        remove(self.work / name)
        return self.work / name

    def begin(self, state: State, content: RunState) -> RunState:
        """Make the folder ready, once it is taken.

        Args:
            state: "new", "resume" or "extend", as `state` gave it.
            content: What is to be remembered of a new run, or of one that takes over images,
                whose shards are in the folder `content.shards` already.

        Returns:
            What is remembered: `content`, or on resuming what the first start wrote.
        """
        assert self._lock.is_held
        remove(self.final)
        if state == "resume":
            assert self.started is not None
            remembered = self.started
        else:
            remembered = content
            if state == "new":
                # The record last: without it nobody would know whose the shards are.
                for name in ("plan.parquet", *SHARD_FOLDERS, "state.json"):
                    remove(self.work / name)
        if self._state.is_dir():
            remove(self._state)
        write_record(self._state, remembered)
        self.shards = self.work / remembered.shards
        for name in {*SHARD_FOLDERS} - {remembered.shards}:
            remove(self.work / name)
        return remembered

    def holds_dataset(self) -> bool:
        """Whether a finished dataset is here, or anything else that no dry run may touch."""
        return (self.path / RUN).exists() or (self.path / "data").exists()

    def release(self) -> None:
        """Let other processes take the folder; one in which nothing was begun goes again."""
        self._lock.release()

    def commit(self, identity: Mapping[str, object]) -> None:
        """Move what is in `final` into place, replacing what an earlier run put there.

        Raises:
            RunError: Something was changed there meanwhile. Everything finished is kept.
        """
        try:
            old, record = self._find_replaced()
        except UsageError as error:
            raise RunError(
                error.message,
                "All images are finished and kept. Move that elsewhere, and run the same command "
                "again.",
            ) from None
        self._mover.begin(identity, old, self._replacing.entries(old, record))
        self._complete()
        self.release()

    def _complete(self) -> None:
        identity = self._mover.complete(self._may_overwrite)
        if identity is not None:
            self._completed = identity


def _names(folder: Path) -> set[str]:
    """What is in a folder that another process may be removing."""
    try:
        return set(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return set()
