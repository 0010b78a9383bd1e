"""What `synfill analyze` costs beside the reading that can't be avoided.

(a) A tree of 100,000 small files: the whole command against `synfill --help`.
(b) A Parquet file of 1,300,000 rows: the label table against pyarrow reading that column, and
    the whole command against `synfill --help`.

Run it with: python benchmarks/analyze.py [--files N] [--rows N]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from synfill.data.labels import choose_label, read_label_table
from synfill.data.source import open_source

CLASSES = 10
REPEATS = 5
IMAGE = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010800000000"
    "3a7e9b550000000a49444154789c636000000002000148afa4710000000049454e44ae426082"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=1_300_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tree, parquet = Path(folder, "tree"), Path(folder, "rows.parquet")
        write_tree(tree, arguments.files)
        write_parquet(parquet, arguments.rows)
        start_up = median_seconds(lambda: synfill("--help"))
        pyarrow_column = median_seconds(lambda: pq.read_table(parquet, columns=["label"]))
        rows = [
            ("synfill --help", start_up),
            (f"tree of {arguments.files:,} files: label table", median_seconds(label_table, tree)),
            ("    synfill analyze", median_seconds(lambda: synfill("analyze", str(tree)))),
            (f"Parquet of {arguments.rows:,} rows: pyarrow reads the column", pyarrow_column),
            ("    label table", median_seconds(label_table, parquet)),
            ("    synfill analyze", median_seconds(lambda: synfill("analyze", str(parquet)))),
        ]
    print(f"{'':58} {'seconds':>8} {'- --help':>9} {'/ pyarrow':>10}")
    for name, seconds in rows:
        print(
            f"{name:58} {seconds:8.3f} {seconds - start_up:9.3f} {seconds / pyarrow_column:10.2f}"
        )


def write_tree(root: Path, files: int) -> None:
    for label in range(CLASSES):
        (root / f"class_{label}").mkdir(parents=True)
    for number in range(files):
        (root / f"class_{number % CLASSES}" / f"{number}.png").write_bytes(IMAGE)


def write_parquet(path: Path, rows: int) -> None:
    names = [f"class_{label}" for label in range(CLASSES)]
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    noted = json.dumps({"info": {"features": features}})
    image_type = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema([("image", image_type), ("label", pa.int64())], {"huggingface": noted})
    generator = np.random.default_rng(0)
    with pq.ParquetWriter(path, schema) as writer:
        for first in range(0, rows, 100_000):
            count = min(100_000, rows - first)
            images = pa.array([{"bytes": IMAGE, "path": None}] * count, image_type)
            labels = pa.array(generator.integers(0, CLASSES, count))
            writer.write_table(pa.table([images, labels], schema=schema))


def label_table(path: Path) -> None:
    source = open_source(str(path))
    read_label_table(source, "train", choose_label(source, None))


def synfill(*arguments: str) -> None:
    command = [sys.executable, "-m", "synfill", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def median_seconds(call: Callable[..., object], *arguments: object) -> float:
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        call(*arguments)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


if __name__ == "__main__":
    main()
