"""Finished work on disk: shards of a fixed range of requests, each there whole or not at all.

A shard is written to a temporary name, synced, and renamed last: that it exists is the proof that
it is done. Knows requests and verdicts by number, neither prompts nor models.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from synfill.errors import RunError
from synfill.files import atomic_write
from synfill.records import Verdict

_SCHEMA: Final = pa.schema(
    [
        ("request", pa.int64()),
        ("attempt", pa.int32()),
        ("seed", pa.int64()),
        ("accepted", pa.bool_()),
        ("reason", pa.string()),
        ("scores", pa.map_(pa.string(), pa.float64())),
        ("image", pa.large_binary()),
        ("extension", pa.string()),
    ]
)
_VERDICT_COLUMNS: Final = ("request", "attempt", "seed", "accepted", "reason", "scores")
_METADATA: Final = b"synfill"

_SMALLEST_SHARD: Final = 32


@dataclass(frozen=True)
class Outcome:
    """One image that was made, and what became of it.

    Attributes:
        verdict: What was decided.
        image: The file's content; None unless accepted.
        extension: The file name's suffix with its dot; "" unless accepted.
    """

    verdict: Verdict
    image: bytes | None = None
    extension: str = ""


def shard_size(batch_size: int) -> int:
    """Requests a shard: the smallest multiple of the batch size that is 32 or more."""
    return -(-_SMALLEST_SHARD // batch_size) * batch_size


class ShardStore:
    """The shards of one run in a folder.

    Opening it removes what a killed run left half-written, and looks at every shard: one that
    can't be read, or that holds other requests than its own, is removed to be made again.

    Args:
        folder: Where the shards are; made if it isn't there.
        total: Requests of the run.
        shard_size: Requests a shard; shard i has requests i * shard_size and following.
        on_note: Told of every shard that has to be made again.

    Raises:
        RunError: The folder holds shards of another size.
    """

    def __init__(
        self,
        folder: Path,
        total: int,
        shard_size: int,
        on_note: Callable[[str], None] = lambda note: None,
    ) -> None:
        self.folder = folder
        self.total = total
        self.shard_size = shard_size
        folder.mkdir(parents=True, exist_ok=True)
        for temporary in folder.glob(".*.tmp"):
            temporary.unlink()
        self._batch_sizes: dict[int, tuple[int, ...]] = {}
        for index in range(self.count):
            path = self._path(index)
            if not path.exists():
                continue
            try:
                self._batch_sizes[index] = self._inspect(index)
            except (OSError, ValueError, KeyError, pa.ArrowException) as error:
                reason = str(error).partition("\n")[0]
                on_note(f"The finished shard {path.name} is damaged ({reason}): it is made again.")
                path.unlink()

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
        return [index for index in range(self.count) if index not in self._batch_sizes]

    def finished(self) -> list[int]:
        """The shards that are done, ascending."""
        return sorted(self._batch_sizes)

    def batch_sizes(self, index: int) -> tuple[int, ...]:
        """The batch sizes that a finished shard was made with, in order."""
        return self._batch_sizes[index]

    def last_batch_size(self) -> int | None:
        """The batch size that the last finished shard ended with: where a resumed run goes on.

        Returns:
            None if nothing is finished.
        """
        if not self._batch_sizes:
            return None
        return self._batch_sizes[max(self._batch_sizes)][-1]

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
        metadata = {"first": expected.start, "end": expected.stop, "batch_sizes": list(batch_sizes)}
        schema = _SCHEMA.with_metadata({_METADATA: json.dumps(metadata)})
        table = pa.Table.from_pylist([_row(outcome) for outcome in outcomes], schema)
        content = pa.BufferOutputStream()
        pq.write_table(
            table,
            content,
            # Images are compressed already; verdicts are small.
            compression="none",
            use_dictionary=False,
            write_statistics=False,
            write_page_checksum=True,
        )
        with atomic_write(self._path(index)) as file:
            file.write(content.getvalue())
        self._batch_sizes[index] = tuple(batch_sizes)

    def read(self, index: int) -> list[Outcome]:
        """Everything that was made for a finished shard, in order of request and attempt.

        Raises:
            RunError: The shard has been damaged since it was opened.
        """
        return [
            Outcome(_verdict(row), row["image"], row["extension"])
            for row in self._rows(index, _SCHEMA.names)
        ]

    def verdicts(self) -> Iterator[Verdict]:
        """Every verdict of the finished shards, in order of request and attempt; no images."""
        for index in self.finished():
            for row in self._rows(index, _VERDICT_COLUMNS):
                yield _verdict(row)

    def accepted(self) -> Iterator[Outcome]:
        """Every accepted image of the finished shards, in order of request."""
        for index in self.finished():
            for outcome in self.read(index):
                if outcome.verdict.accepted:
                    yield outcome

    def _path(self, index: int) -> Path:
        return self.folder / f"shard-{index:06d}.parquet"

    def _inspect(self, index: int) -> tuple[int, ...]:
        """The batch sizes of a shard, after a look at its footer and its request numbers."""
        with pq.ParquetFile(self._path(index)) as file:
            found = json.loads((file.schema_arrow.metadata or {})[_METADATA])
            ids = set(file.read(columns=["request"]).column(0).to_pylist())
        expected = self.requests(index)
        if found["first"] != expected.start or found["end"] != expected.stop:
            raise ValueError("it holds other requests")
        if ids != set(expected):
            raise ValueError("requests are missing in it")
        return tuple(found["batch_sizes"])

    def _rows(self, index: int, columns: Sequence[str]) -> list[dict[str, Any]]:
        path = self._path(index)
        try:
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                rows: list[dict[str, Any]] = file.read(columns=list(columns)).to_pylist()
        except (OSError, pa.ArrowException) as error:
            reason = str(error).partition("\n")[0]
            raise RunError(
                f"The finished shard {path} can't be read: {reason}",
                "Delete this file and run the same command again: only it is made again.",
            ) from error
        return rows


def _row(outcome: Outcome) -> dict[str, Any]:
    verdict = outcome.verdict
    return {
        "request": verdict.request,
        "attempt": verdict.attempt,
        "seed": verdict.seed,
        "accepted": verdict.accepted,
        "reason": verdict.reason,
        "scores": sorted(verdict.scores.items()),
        "image": outcome.image,
        "extension": outcome.extension,
    }


def _verdict(row: dict[str, Any]) -> Verdict:
    return Verdict(
        request=row["request"],
        attempt=row["attempt"],
        seed=row["seed"],
        accepted=row["accepted"],
        reason=row["reason"],
        scores=dict(row["scores"]),
    )
