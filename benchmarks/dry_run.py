"""What `synfill balance --dry-run` costs on a large dataset, where the time goes, and what a run
that was done before costs when it is asked for again.

A Parquet file of 1,000,000 tiny images in ten classes, of which 500,000 more are asked for.

Run it with: python benchmarks/dry_run.py [--rows N] [--requests N]
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from analyze import CLASSES, median_seconds, synfill, write_parquet

from synfill.balancing.look import look_at_images
from synfill.balancing.prepare import prepare
from synfill.balancing.settings import make_settings
from synfill.data.remembered import InspectionMemory
from synfill.data.stamp import SETTLED
from synfill.reporter import LogReporter

Result = TypeVar("Result")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=500_000)
    arguments = parser.parse_args()
    target = f"uniform:{(arguments.rows + arguments.requests) // CLASSES}"
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder, "rows.parquet"), Path(folder, "out")
        write_parquet(source, arguments.rows)
        options = ("--model", "demo", "--target", target, "--out", str(out))
        command = ("balance", str(source), *options, "--dry-run", "-q")
        print(f"{arguments.rows:,} images, about {arguments.requests:,} requests")
        show("synfill --help", median_seconds(lambda: synfill("--help")))
        show("synfill balance --dry-run, the whole command", median_seconds(synfill, *command))
        given = {"source": str(source), "model": "demo", "target": target, "out": str(out)}
        settings = make_settings(given | {"dry_run": True}, "The benchmark")
        draft = timed(
            "    labels, counts, prompts, model", lambda: prepare(settings, LogReporter())
        )
        timed("    the plan", draft.make_plan)
        time.sleep(SETTLED)
        memory = InspectionMemory(Path(folder, "memory"))
        look = lambda: look_at_images(draft, LogReporter(), memory)  # noqa: E731
        timed("Decoding every image, once", look)
        timed("    the same again, remembered", look)


def timed(name: str, call: Callable[[], Result]) -> Result:
    began = time.perf_counter()
    result = call()
    show(name, time.perf_counter() - began)
    return result


def show(name: str, seconds: float) -> None:
    print(f"{name:58} {seconds:8.2f} s", flush=True)


if __name__ == "__main__":
    main()
