"""The output folder of `synfill balance`: what state it is in, and how a dataset gets there.

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

from synfill.errors import RunError, UsageError
from synfill.reporter import LogReporter, Reporter
from synfill.runs.commit import Mover
from synfill.runs.dataset_files import CARD, PLAN, RUN, Replacing, listed_files
from synfill.runs.dataset_record import SHARD_FOLDERS, RunRecord, RunState, ShardFolder
from synfill.runs.folder import (
    OutputFolder,
    names_in,
    refuse_links,
    refuse_not_empty,
    refuse_other_identity,
    remove,
)
from synfill.runs.identity import differences, is_more_of
from synfill.runs.record import read_record, write_record
from synfill.runs.started import SHARD_PLAN, STATE, find_started

State = Literal["new", "resume", "extend", "finished"]


class DatasetFolder(OutputFolder):
    """The output folder of a balanced dataset.

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
        super().__init__(path)
        self.plan = self.work / SHARD_PLAN
        self.shards = self.work / SHARD_FOLDERS[0]
        self.started: RunState | None = None
        self._state = self.work / STATE
        self._mover = Mover(path, self.work)
        self.final = self._mover.final
        self._reporter = reporter or LogReporter()
        self._is_mended = False
        self._completed: Mapping[str, object] | None = None
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
        self.started, is_mended = find_started(self.work, identity, overwrite, unsure)
        if is_mended and not self._is_mended:
            self._is_mended = True
            self._reporter.warn(
                f"{self._state} is damaged; what it should say was found in the finished images."
            )
        if self.started is not None:
            self.shards = self.work / self.started.shards
            before = self.started.identity
            changed = differences(before, identity, unsure)
            if not changed:
                return "resume"
            if is_more_of(before, identity, unsure):
                return "extend"
            what = "an unfinished run with other settings"
        elif (finished := self.read_finished(overwrite)) is not None:
            before = finished.identity
            changed = differences(before, identity, unsure)
            # Its commit was cut off, and this process has just completed it.
            if not changed and (not overwrite or self._completed == before):
                self._check_whole(finished)
                return "finished"
            if not overwrite and is_more_of(before, identity, unsure):
                return "extend"
            what = "a finished dataset made with other settings"
        else:
            self.check_place(overwrite)
            return "new"
        if not overwrite:
            refuse_other_identity(self.path, what, changed)
        return "new"

    def _check_whole(self, record: RunRecord) -> None:
        """Whether the dataset still has its files. The card may have been edited."""
        for name, entry in (listed_files(record) or {}).items():
            path = self.path / name
            is_there = path.is_file() and path.stat().st_size == entry.bytes
            if not is_there and name != CARD and path.parent.is_relative_to(self.path):
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
        self.check_writable()
        self._check_links()
        ours = self._state.exists() or self._mover.is_begun() or (self.path / RUN).exists()
        others = names_in(self.path) - {".synfill", ".synfill-done"}
        # A dry run leaves the plan alone: nothing that anyone would miss.
        is_plan = others == {"synfill"} and names_in(self.path / "synfill") == {Path(PLAN).name}
        if not (overwrite or ours or is_plan):
            wrote = "synfill wrote there (README.md, data/, synfill/, the splits)"
            refuse_not_empty(self.path, others, "is not empty", wrote)

    def _check_links(self) -> None:
        below = (f".synfill/{name}" for name in (*SHARD_FOLDERS, "final", "old"))
        refuse_links(self.path / name for name in (".synfill", "synfill", "data", *below))

    def read_finished(self, overwrite: bool = False) -> RunRecord | None:
        """run.json of the finished dataset; None if there is none.

        Raises:
            RunError: It is damaged and `overwrite` is off.
        """
        return read_record(self.path / RUN, RunRecord, ignore_damage=overwrite)

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
            content = self.started
        elif state == "new":
            # The record last: without it nobody would know whose the shards are.
            for name in (SHARD_PLAN, *SHARD_FOLDERS, STATE):
                remove(self.work / name)
        if self._state.is_dir():
            remove(self._state)
        write_record(self._state, content.model_dump())
        self.shards = self.work / content.shards
        for name in {*SHARD_FOLDERS} - {content.shards}:
            remove(self.work / name)
        return content

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
