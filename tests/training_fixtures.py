"""A small balanced dataset to train on, and a recipe for it: runs take a second or two."""

from __future__ import annotations

from pathlib import Path

import numpy as np

CLASSES = ("crimson", "emerald", "azure")
PLACES = ("left", "right")
REAL = {"crimson": 24, "emerald": 22, "azure": 4}
SIDE = 12

RECIPE = """\
name: colours
seeds: [0]
data:
  train: {train}
  group: place
  validation: validation
model: resnet8
stages:
  - name: network
    epochs: 3
    batch_size: 16
    lr: 0.05
    mix: mixup
    warmup: 1
  - name: classifier
    epochs: 2
    batch_size: 16
    lr: 0.05
    trainable: classifier
"""


def draw(label: int, place: int, generator: np.random.Generator) -> np.ndarray:
    """A noisy square of the class's colour on the left or right; uint8, (12, 12, 3)."""
    pixels = generator.integers(90, 166, (SIDE, SIDE, 3))
    pixels[3:9, 1 + 5 * place : 6 + 5 * place, label] += 85
    return pixels.astype(np.uint8)


def make_colours(folder: Path) -> Path:
    """train (50 real images, 22 synthetic ones), validation and test, as `balance` writes them."""
    from datasets import ClassLabel, Dataset, Features, Image, Value

    features = Features(
        {
            "image": Image(),
            "label": ClassLabel(names=list(CLASSES)),
            "place": ClassLabel(names=list(PLACES)),
            "synthetic": Value("bool"),
            "prompt": Value("string"),
            "seed": Value("int64"),
            "generator": Value("string"),
        }
    )
    from PIL import Image as Pictures

    generator = np.random.default_rng(7)

    def write(split: str, wanted: list[tuple[int, bool]]) -> None:
        rows = []
        for number, (label, synthetic) in enumerate(wanted):
            place = number % 2
            rows.append(
                {
                    "image": Pictures.fromarray(draw(label, place, generator)),
                    "label": label,
                    "place": None if synthetic else place,
                    "synthetic": synthetic,
                    "prompt": f"a photo of {CLASSES[label]}" if synthetic else None,
                    "seed": number if synthetic else None,
                    "generator": "sd" if synthetic else None,
                }
            )
        columns = {name: [row[name] for row in rows] for name in features}
        path = folder / "data" / f"{split}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        Dataset.from_dict(columns, features=features).to_parquet(path)

    counts = [REAL[name] for name in CLASSES]
    real = [(label, False) for label, count in enumerate(counts) for _ in range(count)]
    made = [(label, True) for label, count in enumerate(counts) for _ in range(24 - count)]
    write("train", real + made)
    write("validation", [(label, False) for label in range(3) for _ in range(4)])
    write("test", [(label, False) for label in range(3) for _ in range(10)])
    return folder


def write_recipe(path: Path, train: Path, text: str = RECIPE) -> Path:
    """The recipe as a file."""
    path.write_text(text.format(train=train))
    return path
