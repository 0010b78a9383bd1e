"""Kill `synfill balance` many times at random moments: is the result that of an undisturbed run?

    python benchmarks/kill.py --kills 50

Prints one line a kill and the comparison; makes its own images and its own small pipeline.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from datasets_fixtures import make_imagefolder
from killing import run_with_kills
from tiny_models import make_sd


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--images", type=int, default=160, help="images to make in a run")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photos = make_imagefolder(
            folder / "photos", {"train": {"cat": arguments.images + 4, "dog": 4}}
        )
        model = make_sd(folder / "model")
        (folder / "runs").mkdir()
        started = time.monotonic()
        found = run_with_kills(
            [
                str(photos),
                "--model",
                str(model),
                "--steps",
                "1",
                "--size",
                "32",
                "--batch-size",
                "4",
            ],
            folder / "runs",
            arguments.kills,
        )
        for number, (moment, state) in enumerate(found.moments, start=1):
            print(f"kill {number:3d} after {moment:5.1f} s: {state} on disk")
        print(
            f"{len(found.moments)} kills over {found.runs} runs in "
            f"{time.monotonic() - started:.0f} s; byte for byte as undisturbed: "
            f"{sum(found.same)} of {found.runs}"
        )


if __name__ == "__main__":
    main()
