"""How a finished dataset gets to its place, so that OUT is a whole dataset or none.

A journal says what is being moved; from then on what was begun is brought to its end, whenever the
process is killed. run.json comes with the last rename into OUT, and is the first to go: a folder
that has it is whole.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from synfill.errors import RunError
from synfill.files import sync_folder, sync_tree
from synfill.records import JsonObject
from synfill.runs.dataset_files import RUN, files_below
from synfill.runs.dataset_record import SHARD_FOLDERS, Commit, RunRecord
from synfill.runs.folder import remove
from synfill.runs.identity import as_json
from synfill.runs.record import read_record, write_record
from synfill.runs.unjournaled import complete_unjournaled
from synfill.runs.written import Comparer, FileEntry
from synfill.wording import list_lines


class Mover:
    """Moves a dataset from OUT/.synfill/final into OUT. Whoever uses it holds the lock.

    Args:
        out: The output folder.
        work: OUT/.synfill.

    Attributes:
        final: Where the dataset is assembled.
    """

    def __init__(self, out: Path, work: Path) -> None:
        self.final = work / "final"
        self._out, self._work = out, work
        self._journal = work / "commit.json"
        self._old = work / "old"
        self._done = out / ".synfill-done"

    def is_begun(self) -> bool:
        """Whether a commit was begun and not brought to its end."""
        return self._journal.exists()

    def has_left(self) -> bool:
        """Whether there is anything for `complete` to do."""
        return self.is_begun() or (self._done / "state.json").exists()

    def begin(
        self,
        identity: Mapping[str, object],
        old: Sequence[str],
        replaced: Mapping[str, FileEntry],
    ) -> None:
        """Write the journal.

        Args:
            identity: What decided the dataset in `final`.
            old: The names in OUT that it replaces.
            replaced: The files there, by path below OUT.
        """
        # Before the shards go: what is renamed must be on the disk.
        sync_tree(self.final)
        remove(self._old)
        commit = Commit(identity=as_json(identity), old=list(old), replaced=dict(replaced))
        write_record(self._journal, commit.model_dump())

    def complete(self, may_begin_anew: bool) -> JsonObject | None:
        """Bring a commit to its end, however far it is.

        Args:
            may_begin_anew: Whether one whose journal is damaged is given up.

        Returns:
            The identity of the dataset that is now in place; None if no commit was begun.

        Raises:
            RunError: The journal is damaged; or what it would replace was changed since it was
                written, or isn't there to be moved. Nothing is changed then.
        """
        commit = read_record(self._journal, Commit, ignore_damage=may_begin_anew)
        if commit is not None:
            identity: JsonObject | None = commit.identity
            if self.final.is_dir():
                self._check_unchanged(commit)
                self._move(commit)
            else:
                self._check_moved(commit)
        elif os.path.lexists(self._journal):
            identity = None
            for name in ("final", "old", "commit.json"):
                remove(self._work / name)
        else:
            identity = complete_unjournaled(self._out, self.final)
        if identity is not None:
            # `final` first: as long as it is there, what is to be moved may not be moved yet.
            # The journal last: what it says is done with all the rest.
            for name in ("final", "old", *SHARD_FOLDERS, "plan.parquet", "state.json"):
                remove(self._work / name)
            remove(self._journal)
        # A version up to 0.1 that was killed just after its last rename left this.
        if not self._done.is_symlink() and (self._done / "state.json").exists():
            remove(self._done)
        return identity

    def _check_unchanged(self, commit: Commit) -> None:
        """Look whether what is to be replaced is what it was when the journal was written.

        Between a kill and the next start a user may have added to it, or a stranger may have
        written the journal.
        """
        moved = {name for name in commit.old if os.path.lexists(self._old / name)}
        comparer = Comparer()
        foreign = []
        for name in commit.old:
            for path in files_below(self._out, name) if name not in moved else ():
                entry = commit.replaced.get(path)
                if entry is None or not comparer.is_same(self._out / path, entry):
                    foreign.append(path)
        for child in self.final.iterdir():
            # What comes into its place is moved there once, and is gone from `final` then.
            is_taken = child.name not in commit.old or child.name in moved
            if is_taken and os.path.lexists(self._out / child.name):
                foreign.append(child.name)
        if foreign:
            raise RunError(
                f"A finished dataset was on its way into {self._out} when the process was stopped. "
                "What it would replace isn't what it was then:\n" + list_lines(sorted(foreign)),
                "Move that elsewhere, and run the same command again. The new dataset is kept.",
            )

    def _check_moved(self, commit: Commit) -> None:
        """Where nothing is left to be moved, the dataset must be in its place."""
        record = read_record(self._out / RUN, RunRecord)
        if record is None or record.identity != commit.identity:
            raise RunError(
                f"{self._journal} says that a dataset is on its way into {self._out}, but "
                f"{self.final} is gone.",
                f"Restore it; or remove {self._journal.name}, and run the same command again: "
                "finished images are kept. An earlier dataset may be in "
                f"{self._old}.",
            )

    def _move(self, commit: Commit) -> None:
        self._old.mkdir(exist_ok=True)
        for name in sorted(commit.old, key=lambda name: name != "synfill"):
            # All of them were in OUT: one that isn't in `old` was not moved yet, or by the user.
            if not os.path.lexists(self._old / name) and os.path.lexists(self._out / name):
                os.replace(self._out / name, self._old / name)
        sync_folder(self._out)
        for child in sorted(self.final.iterdir(), key=lambda child: child.name == "synfill"):
            if child.name == "synfill":
                sync_folder(self._out)
            os.replace(child, self._out / child.name)
        sync_folder(self._out)
