"""More of the same: a run that asks for more images takes over what a smaller one made.

A request is known again by what decides its image: cell, prompts, seed. The smaller run may be
unfinished (its images are in shards) or finished (they are in the dataset). Nothing of it is
changed here.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from synfill.balancing.output import OutputFolder
from synfill.balancing.prepare import Prepared
from synfill.balancing.remembered import (
    SHARD_FOLDERS,
    RunRecord,
    RunState,
    as_json,
    differences,
    digest_identity,
)
from synfill.balancing.replacing import PLAN
from synfill.data.source import image_column
from synfill.errors import RunError, UsageError
from synfill.generate.shard import Outcome, shard_size
from synfill.generate.store import ShardStore
from synfill.records import Verdict
from synfill.reporter import Reporter

Find = Callable[[int], Sequence[Outcome]]
Image = tuple[bytes, str]
"""A file's content and its suffix."""


@dataclass(frozen=True)
class Smaller:
    """A run that asked for fewer images.

    Attributes:
        ids: Number of a request in the larger plan -> its number in the smaller one.
        find: Number of a request in the smaller plan -> what was made of it, in order of the
            attempts; () if nothing is there.
        began: The batch size that it began with.
        batch_sizes: Those that were in force, each once, in order.
        size: Requests a shard.
        versions: The different versions of the libraries that made its images.
    """

    ids: Mapping[int, int]
    find: Find
    began: int
    batch_sizes: list[int]
    size: int
    versions: list[dict[str, str]]


def open_smaller(prepared: Prepared, folder: OutputFolder, reporter: Reporter) -> Smaller:
    """The smaller run in the output folder.

    Raises:
        UsageError: Not all of its requests are among those of this run.
        RunError: It is damaged.
    """
    started = folder.started
    record = folder.read_finished() if started is None else None
    path = folder.path / PLAN
    # Versions up to 0.1 had it there while the run was in progress too.
    if started is not None and folder.plan.exists():
        path = folder.plan
    before = started or record
    assert before is not None
    plan = _read(path)
    ids = _match(prepared.plan.table, plan)
    if len(ids) < len(plan):
        changed = "\n".join(f"  {line}" for line in differences(before.identity, prepared.identity))
        raise UsageError(
            f"The output folder {folder.path} holds images of a run with other settings, and not "
            f"all of them ({len(plan):,}) are among those asked for now:\n{changed}",
            "Ask for as many or more, choose another --out, or add --overwrite.",
        )
    if started is not None:
        return _unfinished(started, folder.shards, len(plan), ids, reporter)
    assert record is not None
    return _finished(prepared, record, folder.path, ids)


def _match(larger: pa.Table, smaller: pa.Table) -> dict[int, int]:
    """Number in the larger plan -> number in the smaller one, of the requests in both."""
    names = [name for name in larger.column_names if name not in ("id", "cell")]
    if {"id", "cell", *names} != set(smaller.column_names):
        return {}
    old = zip(*(smaller[name].to_pylist() for name in names), strict=True)
    known = {key: number for number, key in enumerate(old)}
    new = zip(*(larger[name].to_pylist() for name in names), strict=True)
    return {number: known[key] for number, key in enumerate(new) if key in known}


def _unfinished(
    started: RunState, shards: Path, total: int, ids: Mapping[int, int], reporter: Reporter
) -> Smaller:
    store = ShardStore(
        shards, total, started.shard_size, reporter.warn, first_versions=started.versions
    )
    finished = set(store.finished())

    @lru_cache(2)
    def of_shard(index: int) -> dict[int, list[Outcome]]:
        found: dict[int, list[Outcome]] = {}
        for outcome in store.read(index) if index in finished else store.taken(index):
            found.setdefault(outcome.verdict.request, []).append(outcome)
        return found

    sizes = [size for index in store.finished() for size in store.batch_sizes(index)]
    return Smaller(
        ids=ids,
        find=lambda request: of_shard(request // started.shard_size).get(request, ()),
        began=started.batch_size,
        batch_sizes=list(dict.fromkeys(sizes or [started.batch_size])),
        size=started.shard_size,
        versions=store.versions(),
    )


def _finished(prepared: Prepared, record: RunRecord, out: Path, ids: Mapping[int, int]) -> Smaller:
    if prepared.settings.format == "parquet":
        image_of = _images_of_parquet(prepared, record, out)
    else:
        image_of = _images_of_folder(prepared, record, out)
    verdicts: dict[int, list[Verdict]] = {}
    for row in _read(out / "synfill/verdicts.parquet").to_pylist():
        verdict = Verdict(
            row["request"],
            row["attempt"],
            row["seed"],
            row["accepted"],
            row["reason"],
            dict(row["scores"]),
        )
        verdicts.setdefault(verdict.request, []).append(verdict)

    def find(request: int) -> list[Outcome]:
        found = []
        for verdict in verdicts.get(request, []):
            image = image_of(verdict.seed) if verdict.accepted else None
            if verdict.accepted and image is None:
                return []
            found.append(Outcome(verdict, *(image or ())))
        return found

    # A batch size was only ever halved.
    sizes = sorted(record.batch_sizes, reverse=True) or [prepared.settings.batch_size or 1]
    return Smaller(
        ids=ids,
        find=find,
        began=sizes[0],
        batch_sizes=sizes,
        size=shard_size(sizes[0]),
        versions=record.shard_versions or ([record.versions] if record.versions else []),
    )


def _images_of_parquet(
    prepared: Prepared, record: RunRecord, out: Path
) -> Callable[[int], Image | None]:
    """Seed -> synthetic image, of a dataset in Parquet files."""
    column = image_column(prepared.source.columns).name
    synthetic, seed = (prepared.provenance.name(name) for name in ("synthetic", "seed"))
    places: dict[int, tuple[Path, int, int]] = {}
    for path in sorted((out / "data").glob(f"{record.split}-*-of-*.parquet")):
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=[synthetic, seed])
                pairs = zip(table[synthetic].to_pylist(), table[seed].to_pylist(), strict=True)
                for row, (is_synthetic, number) in enumerate(pairs):
                    if is_synthetic:
                        places[number] = path, group, row

    @lru_cache(2)
    def of_group(path: Path, group: int) -> pa.ChunkedArray:
        with pq.ParquetFile(path) as file:
            return file.read_row_group(group, columns=[column])[column]

    def find(seed: int) -> Image | None:
        if seed not in places:
            return None
        path, group, row = places[seed]
        image = of_group(path, group)[row].as_py()
        return image["bytes"], Path(image["path"]).suffix

    return find


def _images_of_folder(
    prepared: Prepared, record: RunRecord, out: Path
) -> Callable[[int], Image | None]:
    """Seed -> synthetic image, of an ImageFolder."""
    synthetic, seed = (prepared.provenance.name(name) for name in ("synthetic", "seed"))
    folder = out / record.split
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as file:
        places = {
            int(row[seed]): folder / row["file_name"]
            for row in csv.DictReader(file)
            if row[synthetic] == "True"
        }

    def find(seed: int) -> Image | None:
        path = places.get(seed)
        return (path.read_bytes(), path.suffix) if path is not None else None

    return find


def take_over(
    prepared: Prepared,
    folder: OutputFolder,
    smaller: Smaller,
    versions: dict[str, str],
    reporter: Reporter,
) -> RunState:
    """Lay the images of a smaller run out as shards of this one, beside what is there.

    Args:
        prepared: The larger run.
        folder: Its output folder, taken.
        smaller: What `open_smaller` gave.
        versions: Of the libraries, now.
        reporter: Told how many there are.

    Returns:
        What is to be remembered of the larger run, for `OutputFolder.begin`.

    Raises:
        RunError: The smaller run is damaged, or the disk is full.
    """
    taken = folder.started.shards if folder.started is not None else SHARD_FOLDERS[1]
    name = next(name for name in SHARD_FOLDERS if name != taken)
    plan = prepared.plan
    run = digest_identity(prepared.identity)
    store = ShardStore(folder.empty(name), len(plan), smaller.size, run=run)
    count = 0
    for index in range(store.count):
        outcomes: list[Outcome] = []
        for request in store.requests(index):
            found = smaller.find(smaller.ids[request]) if request in smaller.ids else ()
            seed = int(plan.table["seed"][request].as_py())
            # A plan and images that aren't of the same run tell each other apart by the seeds.
            if found and all(o.verdict.seed == seed + o.verdict.attempt for o in found):
                count += 1
                outcomes += [
                    replace(outcome, verdict=replace(outcome.verdict, request=request))
                    for outcome in found
                ]
        if outcomes:
            store.take_over(index, outcomes, smaller.batch_sizes, smaller.versions)
        reporter.progress("taking over", store.requests(index).stop, len(plan))
    reporter.note(
        f"More of the same: {count:,} of {len(plan):,} images are taken over from the run that is "
        f"there; {len(plan) - count:,} are to be made."
    )
    return RunState(
        identity=as_json(prepared.identity),
        batch_size=smaller.began,
        shard_size=smaller.size,
        versions=versions,
        shards=name,
    )


def _read(path: Path) -> Any:
    try:
        if not path.is_file():
            raise OSError("there is no such file")
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        reason = str(error).partition("\n")[0]
        raise RunError(
            f"{path}, which says what the images there are of, can't be read: {reason}.",
            "Choose another --out, or add --overwrite to begin anew.",
        ) from None
