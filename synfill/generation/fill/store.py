"""Finished work on disk: shards of a fixed range of requests, each there whole or not at all.

A shard is written to a temporary name, synced, and renamed last: that it exists is the proof that
it is done. What an earlier run made of a shard's requests, where that isn't all of them, lies
beside the shards until the rest is made. So do verdicts that were revised once all shards were
done: a shard that doesn't agree with them yet is missing again. Knows requests and verdicts by
number, neither prompts nor models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from synfill.errors import RunError
from synfill.generation.fill.revisions import Revisions
from synfill.records import Verdict
from synfill.runs.shard import (
    DAMAGE,
    Outcome,
    Shard,
    read_header,
    read_outcomes,
    read_requests,
    read_verdicts,
    write_shard,
)


@dataclass(frozen=True)
class _Part:
    """What there is of a missing shard: what an earlier run made of it, or all of it before some
    of its verdicts were revised.

    Attributes:
        path: The file.
        shard: What it says of itself.
        left: The requests that aren't decided, ascending.
    """

    path: Path
    shard: Shard
    left: list[int]


class ShardStore:
    """The shards of one run in a folder.

    Opening it removes what a killed run left half-written, and looks at every shard: one that
    can't be read, or that holds other requests than its own, is removed to be made again.

    Args:
        folder: Where the shards are; made if it isn't there.
        total: Requests of the run.
        shard_size: Requests a shard; shard i has requests i * shard_size and following.
        on_note: Told of every shard that has to be made again.
        run: A short name for what decides the run's result, which new shards carry.
        versions: Of the libraries that make new shards.
        first_versions: Of the libraries that made the shards that don't say it (of versions up
            to 0.1).

    Raises:
        RunError: A folder is where a shard should be.
    """

    def __init__(
        self,
        folder: Path,
        total: int,
        shard_size: int,
        on_note: Callable[[str], None] = lambda note: None,
        *,
        run: str = "",
        versions: Mapping[str, str] | None = None,
        first_versions: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.total = total
        self.shard_size = shard_size
        self._run = run
        self._versions = [dict(versions)] if versions else []
        self._first_versions = [dict(first_versions)] if first_versions else []
        folder.mkdir(parents=True, exist_ok=True)
        for temporary in folder.glob(".*.tmp"):
            temporary.unlink()
        self._shards: dict[int, Shard] = {}
        self._open: dict[int, _Part] = {}
        self._revisions = Revisions(folder, on_note)
        self._last_read: tuple[int, dict[int, bytes]] | None = None
        for index in range(self.count):
            found = self._inspect(self._path(index), index, on_note)
            if found is not None:
                self._shards[index], _ = found
                self._taken_path(index).unlink(missing_ok=True)
                self._compare(index)
                continue
            path = self._taken_path(index)
            found = self._inspect(path, index, on_note, is_whole=False)
            if found is not None:
                self._open[index] = _Part(path, found[0], found[1])

    @property
    def count(self) -> int:
        """How many shards the run has."""
        return -(-self.total // self.shard_size)

    def requests(self, index: int) -> range:
        """The numbers of a shard's requests."""
        first = index * self.shard_size
        return range(first, min(first + self.shard_size, self.total))

    def missing(self) -> list[int]:
        """The shards that aren't done yet, ascending."""
        return [index for index in range(self.count) if index not in self._shards]

    def to_make(self, index: int) -> list[int]:
        """The requests of a missing shard that aren't decided, ascending."""
        part = self._open.get(index)
        return part.left if part is not None else list(self.requests(index))

    def next_attempts(self, index: int) -> dict[int, int]:
        """The requests of `to_make`, and how many attempts each has had."""
        attempts = dict.fromkeys(self.to_make(index), 0)
        for verdict in read_verdicts(self._open[index].path) if index in self._open else ():
            if verdict.request in attempts:
                attempts[verdict.request] += 1
        return attempts

    def decided(self) -> int:
        """How many requests are decided: of finished shards, or by an earlier run."""
        missing = self.missing()
        return self.total - sum(len(self.to_make(index)) for index in missing)

    def finished(self) -> list[int]:
        """The shards that are done, ascending."""
        return sorted(self._shards)

    def batch_sizes(self, index: int) -> tuple[int, ...]:
        """The batch sizes that a finished shard was made with, in order."""
        return tuple(self._shards[index].batch_sizes)

    def versions(self) -> list[dict[str, str]]:
        """The different versions of the libraries that made the images that are there, in order."""
        parts = {index: part.shard for index, part in self._open.items()}
        shards = [shard for _, shard in sorted((parts | self._shards).items())]
        return _distinct(one for shard in shards for one in shard.versions or self._first_versions)

    def last_batch_size(self) -> int | None:
        """The batch size that the last finished shard ended with: where a resumed run goes on.

        Returns:
            None if nothing is finished.
        """
        if not self._shards:
            return None
        return self._shards[max(self._shards)].batch_sizes[-1]

    def write(self, index: int, outcomes: Sequence[Outcome], batch_sizes: Sequence[int]) -> None:
        """Finish a shard.

        Args:
            index: Which one.
            outcomes: Everything that was made for it, in order of request and attempt.
            batch_sizes: The batch sizes that were in force, one a call of the generator.

        Raises:
            RunError: The disk is full. Finished shards are kept.
        """
        expected = self.requests(index)
        if sorted({outcome.verdict.request for outcome in outcomes}) != list(expected):
            raise ValueError(f"shard {index} must have requests {expected}")
        part = self._open.pop(index, None)
        self._shards[index] = self._write(
            self._path(index),
            index,
            outcomes,
            [*(part.shard.batch_sizes if part else ()), *batch_sizes],
            [*(part.shard.versions if part else ()), *self._versions],
        )
        self._taken_path(index).unlink(missing_ok=True)
        # A damaged shard that was made again is as it was before any verdict was revised.
        self._compare(index)

    @property
    def is_settled(self) -> bool:
        """Whether nothing was rejected when all images were last looked across."""
        return self._revisions.are_settled

    def revise(self, verdicts: Sequence[Verdict]) -> None:
        """Put other verdicts in place of those on the same images, for good.

        A shard of theirs is missing again: its rejected images are gone.

        Raises:
            RunError: The disk is full.
        """
        self._revisions.add(verdicts)
        for index in {verdict.request // self.shard_size for verdict in verdicts}:
            self._compare(index)

    def take_over(
        self,
        index: int,
        outcomes: Sequence[Outcome],
        batch_sizes: Sequence[int],
        versions: Sequence[Mapping[str, str]],
    ) -> None:
        """Keep what an earlier run made of a shard's requests; the shard is finished if that is
        all of them.

        Args:
            index: Which shard.
            outcomes: Everything that was made of these requests, in order of request and attempt.
            batch_sizes: What it was made with.
            versions: The different versions of the libraries that made it.

        Raises:
            RunError: The disk is full.
        """
        decided = {outcome.verdict.request for outcome in outcomes}
        left = [request for request in self.requests(index) if request not in decided]
        path = self._taken_path(index) if left else self._path(index)
        shard = self._write(path, index, outcomes, batch_sizes, versions)
        if left:
            self._open[index] = _Part(path, shard, left)
        else:
            self._shards[index] = shard

    def _write(
        self,
        path: Path,
        index: int,
        outcomes: Sequence[Outcome],
        batch_sizes: Sequence[int],
        versions: Sequence[Mapping[str, str]],
    ) -> Shard:
        requests = self.requests(index)
        shard = Shard(
            first=requests.start,
            end=requests.stop,
            batch_sizes=list(batch_sizes),
            run=self._run,
            versions=_distinct(versions),
        )
        write_shard(path, shard, outcomes)
        return shard

    def read(self, index: int) -> list[Outcome]:
        """Everything that was made for a finished shard, in order of request and attempt.

        Raises:
            RunError: The shard has been damaged since it was opened.
        """
        return read_outcomes(self._path(index))

    def taken(self, index: int) -> list[Outcome]:
        """What was made for a missing shard before, in order of request and attempt.

        Raises:
            RunError: It has been damaged since it was opened.
        """
        if index not in self._open:
            return []
        return [self._revisions.apply(one) for one in read_outcomes(self._open[index].path)]

    def read_image(self, request: int) -> bytes:
        """The file's content of a request's accepted image.

        Raises:
            KeyError: It has none.
            RunError: Its shard has been damaged since it was opened.
        """
        index = request // self.shard_size
        if self._last_read is None or self._last_read[0] != index:
            outcomes = self.read(index)
            images = {one.verdict.request: one.image for one in outcomes if one.image is not None}
            self._last_read = index, images
        return self._last_read[1][request]

    def verdicts(self) -> Iterator[Verdict]:
        """Every verdict of the finished shards, in order of request and attempt; no images."""
        for index in self.finished():
            yield from read_verdicts(self._path(index))

    def accepted(self) -> Iterator[Outcome]:
        """Every accepted image of the finished shards, in order of request."""
        for index in self.finished():
            for outcome in self.read(index):
                if outcome.verdict.accepted:
                    yield outcome

    def _path(self, index: int) -> Path:
        return self.folder / f"shard-{index:06d}.parquet"

    def _taken_path(self, index: int) -> Path:
        return self.folder / f"taken-{index:06d}.parquet"

    def _compare(self, index: int) -> None:
        """Reopen a finished shard if it doesn't agree with the revised verdicts."""
        self._last_read = None
        if index not in self._shards or not self._revisions.touch(self.requests(index)):
            return
        pairs = [(one, self._revisions.of(one)) for one in read_verdicts(self._path(index))]
        changed = [now for before, now in pairs if now != before]
        if changed:
            left = sorted({verdict.request for verdict in changed if not verdict.accepted})
            self._open[index] = _Part(self._path(index), self._shards.pop(index), left)

    def _inspect(
        self, path: Path, index: int, on_note: Callable[[str], None], is_whole: bool = True
    ) -> tuple[Shard, list[int]] | None:
        """What a shard says, after a look at its footer and its request numbers, and the requests
        that aren't in it. None if it isn't there, or was removed because it is damaged.
        """
        try:
            shard = read_header(path)
            expected = self.requests(index)
            if (shard.first, shard.end) != (expected.start, expected.stop):
                raise ValueError("it holds other requests")
            if self._run and shard.run not in ("", self._run):
                raise ValueError("it is of another run")
            ids = read_requests(path)
            if ids != set(expected) if is_whole else not ids < set(expected):
                raise ValueError("requests are missing in it")
            return shard, [request for request in expected if request not in ids]
        except FileNotFoundError:
            return None
        except DAMAGE as error:
            reason = str(error).partition("\n")[0]
        if path.is_dir() and not path.is_symlink():
            raise RunError(
                f"{path}, where finished images should be, is a folder.", "Move it elsewhere."
            )
        on_note(f"The finished shard {path.name} is damaged ({reason}): it is made again.")
        path.unlink()
        return None


def _distinct(versions: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
    """Each once, in order."""
    found: list[dict[str, str]] = []
    for one in map(dict, versions):
        if one not in found:
            found.append(one)
    return found
