"""The balance run in progress in a folder, as its record says or else the images that it finished.

A record that is damaged, or that disagrees with the shards, is made again from them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from synfill.errors import RunError
from synfill.runs.dataset_record import SHARD_FOLDERS, RunState
from synfill.runs.identity import as_json, digest_identity
from synfill.runs.record import read_record
from synfill.runs.shard import Shard, find_layout, find_shards

STATE = "state.json"
SHARD_PLAN = "plan.parquet"


def find_started(
    work: Path, identity: Mapping[str, object], overwrite: bool, unsure: Collection[str]
) -> tuple[RunState | None, bool]:
    """The run in progress, if it has finished anything.

    Args:
        work: OUT/.synfill.
        identity: Of the run that asks: whose shards are known by it where no record says it.
        overwrite: Whether what nobody knows anything of may be given up.
        unsure: Keys of the identity that aren't known yet.

    Returns:
        What is remembered of it, None if it has finished nothing; and whether that was made again
        from its shards.

    Raises:
        RunError: Its record is damaged or gone, the shards aren't those of `identity`, and
            `overwrite` is off.
    """
    path, total = work / STATE, _count_requests(work / SHARD_PLAN)
    damage: RunError | None = None
    try:
        started = read_record(path, RunState)
    except RunError as error:
        started, damage = None, error
    if started is not None:
        shards = _shards_of(work / started.shards, ("", digest_identity(started.identity)))
        said = started.batch_size, started.shard_size
        layout = find_layout(shards, *said, total) or said
        changed = {"batch_size": layout[0], "shard_size": layout[1]}
        return (started.model_copy(update=changed) if shards else None), layout != said
    is_anything_there = False
    for name in SHARD_FOLDERS:
        found = find_shards(work / name)
        is_anything_there |= bool(found)
        # Whose shards they are can't be told before all is known; then it is asked again.
        shards = found if unsure else _shards_of(work / name, (digest_identity(identity),))
        layout_found = find_layout(shards, 0, 0, total)
        if layout_found is not None:
            batch_size, shard_size = layout_found
            return RunState(
                identity=as_json(identity),
                batch_size=batch_size,
                shard_size=shard_size,
                shards=name,
            ), True
    if overwrite or not is_anything_there:
        return None, False
    if damage is None and path.exists():
        # Another process has begun in this moment.
        return find_started(work, identity, overwrite, unsure)
    raise damage or RunError(
        f"{work} holds finished images, but no {STATE}, which says what they are of.",
        "Restore it, choose another --out, or add --overwrite to begin anew.",
    )


def _shards_of(folder: Path, runs: Collection[str]) -> dict[int, Shard]:
    return {index: shard for index, shard in find_shards(folder).items() if shard.run in runs}


def _count_requests(plan: Path) -> int | None:
    """How many requests the run has; None where its plan can't be read."""
    try:
        return int(pq.read_metadata(plan).num_rows) if plan.is_file() else None
    except (OSError, pa.ArrowException):
        return None
