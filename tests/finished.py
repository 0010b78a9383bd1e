"""A finished dataset, as a run leaves it, without the run."""

from __future__ import annotations

import json
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


def make_finished(path: Path, shards: int = 3, seed: int = 0) -> Path:
    """A folder as a finished run leaves it, with other files beside it."""
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
    }
    (path / "synfill/run.json").write_text(json.dumps(record))
    (path / "my-notes.txt").write_text("not for the Hub")
    return path
