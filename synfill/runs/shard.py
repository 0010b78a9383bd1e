"""The file of one shard: images of some requests, their verdicts, and what it says of itself.

Parquet with a checksum for every page, written whole or not at all.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from synfill.errors import RunError
from synfill.files import atomic_write
from synfill.records import Verdict

VERDICT_SCHEMA: Final = pa.schema(
    [
        ("request", pa.int64()),
        ("attempt", pa.int32()),
        ("seed", pa.int64()),
        ("accepted", pa.bool_()),
        ("reason", pa.string()),
        ("scores", pa.map_(pa.string(), pa.float64())),
    ]
)
"""How verdicts are stored: a `Verdict`'s fields."""
_SCHEMA: Final = pa.schema(
    [*VERDICT_SCHEMA, ("image", pa.large_binary()), ("extension", pa.string())]
)
_METADATA: Final = b"synfill"
DAMAGE: Final = (OSError, ValueError, KeyError, pa.ArrowException)
"""What reading a damaged shard raises."""

_NAME: Final = re.compile(r"(?:shard|taken)-(?P<index>\d{6,})\.parquet")

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


class Shard(BaseModel):
    """What a shard's file says of itself.

    Attributes:
        first, end: Its requests are first to end - 1.
        batch_sizes: Those that were in force, one a call of the generator.
        run: A short name for what decides the run's result; "" in those of versions up to 0.1.
        versions: The different versions of the libraries that made its images.
    """

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    first: int = Field(ge=0)
    end: int = Field(ge=1)
    batch_sizes: list[Annotated[int, Field(ge=1)]] = Field(min_length=1)
    run: str = ""
    versions: list[dict[str, str]] = []


def find_shards(folder: Path) -> dict[int, Shard]:
    """What the shards of a folder say of themselves, as far as they can be read, by number."""
    found: dict[int, Shard] = {}
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return found
    # A whole shard's file says more than one with a part of its requests.
    for path in (folder / name for name in sorted(names, reverse=True)):
        name = _NAME.fullmatch(path.name)
        if name is not None:
            with contextlib.suppress(*DAMAGE):
                found[int(name["index"])] = read_header(path)
    return found


def find_layout(
    shards: Mapping[int, Shard], batch_size: int, size: int, total: int | None
) -> tuple[int, int] | None:
    """How a run's requests are spread over its shards: what its record says, if the shards agree.

    Args:
        shards: They, as `find_shards` gives them.
        batch_size: What the record says that it began with.
        size: What the record says that a shard has; 0 if it says nothing.
        total: Requests of the run; None if that isn't known.

    Returns:
        (batch size, requests a shard); None where no shard says it.
    """

    def agreeing(size: int) -> int:
        return sum(
            shard.first == index * size
            and (shard.end == min(shard.first + size, total) if total is not None
                 else shard.first < shard.end <= shard.first + size)
            for index, shard in shards.items()
        )  # fmt: skip

    sizes = {
        shard.first // index if index else max(shard.end, shard_size(shard.batch_sizes[0]))
        for index, shard in shards.items()
    }
    best = max(sorted(sizes), key=agreeing, default=0)
    if size and shard_size(batch_size) == size and agreeing(size) >= max(1, agreeing(best)):
        return batch_size, size
    if not best or not agreeing(best):
        return None
    began = [shards[index].batch_sizes[0] for index in sorted(shards)]
    # The first shard's, unless memory ran out in it.
    return next((n for n in began if shard_size(n) == best), best), best


def shard_size(batch_size: int) -> int:
    """Requests a shard: the smallest multiple of the batch size that is 32 or more."""
    return -(-_SMALLEST_SHARD // batch_size) * batch_size


def read_header(path: Path) -> Shard:
    """What a shard's file says of itself.

    Raises:
        OSError, ValueError, KeyError, ArrowException: It isn't there, or is damaged.
    """
    # A pipe would be waited for, and a link leads elsewhere.
    if not stat.S_ISREG(path.lstat().st_mode):
        raise ValueError("it is no regular file")
    with pq.ParquetFile(path) as file:
        if not file.schema_arrow.equals(_SCHEMA):
            raise ValueError("it has other columns")
        text = (file.schema_arrow.metadata or {})[_METADATA]
    try:
        return Shard.model_validate_json(text)
    except ValidationError:
        raise ValueError("what it says of itself makes no sense") from None


def read_outcomes(path: Path) -> list[Outcome]:
    """Everything in a shard, in order of request and attempt.

    Raises:
        RunError: It is damaged.
    """
    table = _read(path, _SCHEMA)
    images = (table[name].to_pylist() for name in ("image", "extension"))
    return list(map(Outcome, verdicts_of(table), *images))


def read_verdicts(path: Path) -> list[Verdict]:
    """A shard's verdicts, without the images, in order of request and attempt.

    Raises:
        RunError: It is damaged.
    """
    return verdicts_of(_read(path, VERDICT_SCHEMA))


def verdicts_of(table: pa.Table) -> list[Verdict]:
    """The verdicts in a table that has the columns of VERDICT_SCHEMA, in its order."""
    rows = table.select(VERDICT_SCHEMA.names).to_pylist()
    return [Verdict(**row | {"scores": dict(row["scores"])}) for row in rows]


def verdict_table(verdicts: Iterable[Verdict]) -> pa.Table:
    """Verdicts as a table of VERDICT_SCHEMA."""
    rows = [vars(one) | {"scores": sorted(one.scores.items())} for one in verdicts]
    return pa.Table.from_pylist(rows, VERDICT_SCHEMA)


def read_requests(path: Path) -> set[int]:
    """The numbers of a shard's requests.

    Raises:
        OSError, ArrowException: It isn't there, or is damaged.
    """
    with pq.ParquetFile(path) as file:
        return set(file.read(columns=["request"]).column(0).to_pylist())


def write_shard(path: Path, shard: Shard, outcomes: Sequence[Outcome]) -> None:
    """Write a shard, whole or not at all.

    Raises:
        RunError: The disk is full.
    """
    table = verdict_table(outcome.verdict for outcome in outcomes)
    images = [[getattr(one, name) for one in outcomes] for name in ("image", "extension")]
    columns = [*table.columns, *map(pa.array, images, _SCHEMA.types[-2:])]
    schema = _SCHEMA.with_metadata({_METADATA: json.dumps(shard.model_dump())})
    table = pa.table(columns, schema=schema)
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
    with atomic_write(path) as file:
        file.write(content.getvalue())


def _read(path: Path, schema: pa.Schema) -> pa.Table:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            return file.read(columns=schema.names)
    except (OSError, pa.ArrowException) as error:
        reason = str(error).partition("\n")[0]
        raise RunError(
            f"The finished shard {path} can't be read: {reason}",
            "Delete this file and run the same command again: only it is made again.",
        ) from error
