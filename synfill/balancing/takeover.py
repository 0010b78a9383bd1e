"""More of the same: a run that asks for more images takes over what a smaller one made.

A request is known again by what decides its image: cell, prompts, seed. The smaller run may be
unfinished (its images are in shards) or finished (they are in the dataset). Nothing of it is
changed here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from synfill.balancing.prepare import Prepared
from synfill.data.images import BadImage, inspect
from synfill.data.rows import read_file
from synfill.data.source import image_column
from synfill.data.sources.imagefolder.tablefiles import read_table
from synfill.errors import RunError, UsageError
from synfill.generation.fill.store import ShardStore
from synfill.reading import regular
from synfill.records import Verdict
from synfill.reporter import Reporter
from synfill.runs.dataset_files import PLAN, files_of_split
from synfill.runs.dataset_folder import DatasetFolder
from synfill.runs.dataset_record import SHARD_FOLDERS, RunRecord, RunState
from synfill.runs.identity import as_json, differences, digest_identity
from synfill.runs.shard import VERDICT_SCHEMA, Outcome, shard_size, verdicts_of
from synfill.runs.versions import GENERATING, versions

Find = Callable[[int], Sequence[Outcome]]
Image = tuple[bytes, str]
"""A file's content and its suffix."""
FindImage = Callable[[int], Image | None]
"""Gives the image of a seed; None where it isn't there whole."""


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


def open_smaller(prepared: Prepared, folder: DatasetFolder, reporter: Reporter) -> Smaller:
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
    try:
        known = {key: number for number, key in enumerate(old)}
    except TypeError:
        # Lists, say, where texts should be.
        return {}
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
        undecided = () if index in finished else store.to_make(index)
        for outcome in store.read(index) if index in finished else store.taken(index):
            if outcome.verdict.request in undecided:
                continue
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
    is_parquet = prepared.settings.format == "parquet"
    find_image = (_images_of_parquet if is_parquet else _images_of_folder)(prepared, record, out)
    verdicts: dict[int, list[Verdict]] = {}
    for verdict in verdicts_of(_read(out / "synfill/verdicts.parquet", VERDICT_SCHEMA)):
        verdicts.setdefault(verdict.request, []).append(verdict)

    def find(request: int) -> list[Outcome]:
        found = []
        for verdict in verdicts.get(request, []):
            image = find_image(verdict.seed) if verdict.accepted else None
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


def _images_of_parquet(prepared: Prepared, record: RunRecord, out: Path) -> FindImage:
    """The synthetic images of a dataset in Parquet files."""
    synthetic, seed = (prepared.provenance.name(name) for name in ("synthetic", "seed"))
    marks = pa.schema([(synthetic, pa.bool_()), (seed, pa.int64())])
    image = image_column(prepared.source.columns).name
    places: dict[int, tuple[Path, int, int]] = {}
    for path in files_of_split(out, prepared.split, record):
        with _damage(path), pq.ParquetFile(regular(path)) as file:
            for group in range(file.num_row_groups):
                table = _checked(file.read_row_group(group, columns=marks.names), marks, {seed})
                pairs = zip(*(column.to_pylist() for column in table.columns), strict=True)
                for row, (is_synthetic, number) in enumerate(pairs):
                    if is_synthetic:
                        places[number] = path, group, row

    @lru_cache(2)
    def of_group(path: Path, group: int) -> pa.ChunkedArray:
        with _damage(path), pq.ParquetFile(regular(path)) as file:
            return file.read_row_group(group, columns=[image])[image]

    def find(seed: int) -> Image | None:
        if seed not in places:
            return None
        path, group, row = places[seed]
        held = of_group(path, group)[row].as_py()
        return _whole(held.get("bytes"), held.get("path")) if isinstance(held, dict) else None

    return find


def _images_of_folder(prepared: Prepared, record: RunRecord, out: Path) -> FindImage:
    """The synthetic images of an ImageFolder."""
    split = prepared.split
    # Only what a run of ours wrote: the table may name any file of this machine.
    ours = {path.relative_to(out).as_posix() for path in files_of_split(out, split, record)}
    path = out / split / "metadata.csv"
    with _damage(path):
        table = read_table(path)
        marks = table[prepared.provenance.name("synthetic")].to_pylist()
        seeds = table[prepared.provenance.name("seed")].cast(pa.int64()).to_pylist()
        rows = zip(seeds, table["file_name"].to_pylist(), marks, strict=True)
        names = {seed: f"{split}/{name}" for seed, name, mark in rows if mark == "True"}

    def find(seed: int) -> Image | None:
        name = names.get(seed)
        return _whole(read_file(out / name), name) if name in ours else None

    return find


def _whole(data: object, name: object) -> Image | None:
    """An image as it was written, if it can be read; what can't is made again."""
    if not isinstance(data, bytes) or not isinstance(name, str):
        return None
    try:
        inspect(data)
    except BadImage:
        return None
    return data, Path(name).suffix


def take_over(
    prepared: Prepared,
    folder: DatasetFolder,
    smaller: Smaller,
    reporter: Reporter,
) -> RunState:
    """Lay the images of a smaller run out as shards of this one, beside what is there.

    Args:
        prepared: The larger run.
        folder: Its output folder, taken.
        smaller: What `open_smaller` gave.
        reporter: Told how many there are.

    Returns:
        What is to be remembered of the larger run, for `DatasetFolder.begin`.

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
            if found and _is_sequence(found, int(plan.table["seed"][request].as_py())):
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
        versions=versions(GENERATING),
        shards=name,
    )


def _is_sequence(found: Sequence[Outcome], seed: int) -> bool:
    """Whether images are what the attempts at a request give, of which the last one may succeed.

    A plan and images that aren't of the same run tell each other apart by the seeds.
    """
    verdicts = [outcome.verdict for outcome in found]
    return [(v.attempt, v.seed) for v in verdicts] == [
        (attempt, seed + attempt) for attempt in range(len(found))
    ] and not any(v.accepted for v in verdicts[:-1])


def _read(path: Path, schema: pa.Schema | None = None) -> Any:
    """A table, with the columns of a schema where one is given."""
    with _damage(path):
        if not path.is_file():
            raise OSError("there is no such file")
        table = pq.read_table(path)
        return table if schema is None else _checked(table, schema)


def _checked(table: Any, schema: pa.Schema, may_be_null: Collection[str] = ()) -> Any:
    columns = {field.name: table[field.name].cast(field.type) for field in schema}
    for name, column in columns.items():
        if column.null_count and name not in may_be_null:
            raise ValueError(f"values of '{name}' are missing")
    return pa.table(columns)


@contextlib.contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Turns what a damaged file raises into a message."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        if isinstance(error, KeyError):
            reason = f"a column is missing: {reason}"
        raise RunError(
            f"{path}, which says what the images there are of, can't be read: {reason}.",
            "Choose another --out, or add --overwrite to begin anew.",
        ) from None
