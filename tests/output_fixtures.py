"""Output folders as runs leave them, without a run: finished images, and a dataset on its way."""

from __future__ import annotations

import json
from pathlib import Path

from synfill.generation.fill.store import ShardStore
from synfill.records import Verdict
from synfill.runs.dataset_files import Replacing
from synfill.runs.dataset_folder import DatasetFolder
from synfill.runs.dataset_record import RunState
from synfill.runs.identity import as_json, digest_identity
from synfill.runs.shard import Outcome
from synfill.runs.written import list_written

IDENTITY = {"target": "uniform", "size": [64, 64], "limit": None, "seed": 0, "format": "parquet"}
WRITES = ("README.md", "data", "synfill")
SIZE = 32


def outcomes(requests):
    return [Outcome(Verdict(i, 0, i, True), b"image", ".png") for i in requests]


def run_state(identity=IDENTITY, **changes):
    values = {"identity": as_json(identity), "batch_size": 4, "shard_size": SIZE}
    return RunState(**(values | changes))


def open_store(folder: DatasetFolder, total=80, identity=IDENTITY) -> ShardStore:
    return ShardStore(folder.shards, total, SIZE, run=digest_identity(identity))


def begin(path, identity=IDENTITY, overwrite=False, shards=(0,), reads=()):
    """A run that is at work: its folder, and what it found there."""
    folder = DatasetFolder(path)
    folder.state(identity, overwrite)
    folder.take()
    state = folder.state(identity, overwrite)
    folder.check_replaced(Replacing(path, WRITES, reads))
    folder.begin(state, run_state(identity))
    store = open_store(folder, identity=identity)
    for index in shards:
        store.write(index, outcomes(store.requests(index)), [4])
    return folder, state


def assemble(folder, identity=IDENTITY, with_hashes=True, shard=b"rows"):
    """What `finish` leaves to be committed."""
    info = folder.final / "synfill"
    info.mkdir(parents=True)
    (folder.final / "data").mkdir()
    content = shard + json.dumps(as_json(identity)).encode()
    (folder.final / "data/train-00000-of-00001.parquet").write_bytes(content)
    (folder.final / "README.md").write_text("card")
    (info / "plan.parquet").write_text("plan")
    record = {
        "identity": identity,
        "split": "train",
        "counts": [],
        "rejected": 0,
        "unfilled": 0,
        "splits": {"train": {"rows": 1, "bytes": len(content), "files": 1}},
        "entries": sorted(p.name for p in folder.final.iterdir()),
    }
    if with_hashes:
        record["files"] = list_written(folder.final)
    (info / "run.json").write_text(json.dumps(record))


def finish(path, identity=IDENTITY, overwrite=False, with_hashes=True):
    """A finished dataset."""
    folder, _ = begin(path, identity, overwrite)
    assemble(folder, identity, with_hashes)
    folder.commit(identity)


def files(path: Path):
    found = {p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()}
    return found - {".synfill/lock"}


WHOLE = {
    "README.md", "data/train-00000-of-00001.parquet", "synfill/plan.parquet", "synfill/run.json",
}  # fmt: skip
