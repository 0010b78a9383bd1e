"""A finished dataset, as a run leaves it, without the run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import pyarrow.parquet as pq
from datasets_fixtures import make_table

CARD = """---
license: mit
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*
---
# pets, balanced
"""


def make_finished(
    path: Path,
    shards: int = 3,
    seed: int = 0,
    files: Mapping[str, bytes] | None = None,
    listed: bool = True,
) -> Path:
    """A folder as a finished run leaves it, with other files beside it.

    Args:
        path: Where.
        shards: How many Parquet files.
        seed: Which run it is, and what is in the files.
        files: More files of the run.
        listed: Whether the record lists its files; those of earlier versions don't.
    """
    (path / "data").mkdir(parents=True)
    (path / "synfill").mkdir()
    for number in range(shards):
        table = make_table({"a": 3, "b": 3}, first_seed=100 * seed + 10 * number)
        pq.write_table(table, path / f"data/train-{number:05d}-of-{shards:05d}.parquet")
    (path / "README.md").write_text(CARD)
    record = {
        "identity": {"seed": seed, "shards": shards},
        "source": {"name": "pets"},
        "entries": ["README.md", "data", "synfill"],
        "splits": {"train": {"rows": 6 * shards, "bytes": 1, "files": shards}},
    }
    for name, content in (files or {}).items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    if listed:
        record["files"] = {
            file.relative_to(path).as_posix(): {
                "bytes": file.stat().st_size,
                "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            }
            for file in sorted(path.rglob("*"))
            if file.is_file()
        }
    (path / "synfill/run.json").write_text(json.dumps(record))
    (path / "my-notes.txt").write_text("not for the Hub")
    return path
