"""Odd and hostile datasets, for as long as one likes.

    python benchmarks/fuzz.py --seconds 600
    python benchmarks/fuzz.py --seconds 60 --seed 3 --only saved

Each is read and written as tests/data/sources/test_fuzz.py has it, in processes of their own with a
limit of memory. Prints what was found: an error that isn't ours, a write outside OUT, a read
outside SOURCE, a hang, a crash, or memory without end. hypothesis makes the example smaller first.
"""

from __future__ import annotations

import argparse
import collections
import faulthandler
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS))
MEMORY = 8 << 30
"""Bytes of address space; what is mapped and never touched counts, too."""

EXAMPLES = 200
CHILD_SECONDS = 600
KINDS = ("parquet", "folder", "saved", "damaged")


def run_child(kind: str, seed: int, around: Path) -> None:
    """Try some datasets in this process."""
    import hypothesis
    from fuzzing import checking, strategies

    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    strategy = getattr(strategies, f"{kind}_sources")
    seen: collections.Counter[str] = collections.Counter()

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(build=strategy())
    def run(build: strategies.Build) -> None:
        seen["refused" if checking.check(build, around) else "read"] += 1

    run()
    print(f"{kind}, seed {seed}: {seen['read']} read, {seen['refused']} refused")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=KINDS, help="One kind of dataset. Default: all in turn.")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        run_child(options.only, options.seed, options.child)
        return
    end = time.monotonic() + options.seconds
    failed = 0
    seed = options.seed
    environment = os.environ | {
        "PYTHONHASHSEED": "0",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }
    while time.monotonic() < end:
        for kind in [options.only] if options.only else KINDS:
            around = Path(tempfile.mkdtemp(prefix="fuzz-"))
            command = [sys.executable, __file__, "--only", kind, "--seed", str(seed)]
            started = time.monotonic()
            try:
                ran = subprocess.run(
                    [*command, "--child", str(around / "x")],
                    env=environment, capture_output=True, text=True, timeout=CHILD_SECONDS,
                )  # fmt: skip
                code, printed = ran.returncode, ran.stdout if ran.returncode == 0 else ran.stderr
            except subprocess.TimeoutExpired:
                code, printed = -1, f"not done in {CHILD_SECONDS} s"
            if code == 0:
                print(printed.strip(), f"({time.monotonic() - started:.0f} s)", flush=True)
                shutil.rmtree(around)
            else:
                failed += 1
                # After a crash the dataset that caused it is still there.
                print(
                    f"{kind}, seed {seed}: ended with {code}; see {around}\n{printed}", flush=True
                )
            if time.monotonic() > end:
                break
        seed += 1
    sys.exit(min(failed, 1))


if __name__ == "__main__":
    main()
