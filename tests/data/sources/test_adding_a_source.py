"""A kind of source is one file: a new one is analysed, balanced and trained on, and nothing else
knows of it.
"""

import importlib.util
import json

import pytest
import yaml

import synfill
from synfill.config.components import SOURCES
from synfill.data.source import open_source
from synfill.errors import UsageError
from synfill.records import FolderOptions

MODULE = '''
"""Squares of one colour a class."""

import io
from typing import Literal

import numpy as np
import pyarrow as pa
from PIL import Image

from synfill.data.source import IMAGE_TYPE, Given, Origin, SourceKind
from synfill.data.sources.saved import ArrowSource

CLASSES = ("dark", "light")


class Squares(SourceKind):
    """Coloured squares, drawn (squares:N)."""

    name: Literal["squares"] = "squares"

    def is_meant(self, given: Given) -> bool:
        return given.spec.startswith("squares:")

    def open(self, given: Given) -> ArrowSource:
        largest = int(given.spec.partition(":")[2])
        held = {"train": draw((largest, largest // 3)), "test": draw((4, 4))}
        features = {"label": {"names": list(CLASSES), "_type": "ClassLabel"}}
        origin = Origin("squares", given.spec, is_local=False)
        return ArrowSource(origin, held, features, image=given.image, folders=[])


def draw(counts):
    labels = [code for code, count in enumerate(counts) for _ in range(count)]
    images = []
    for number, code in enumerate(labels):
        levels = np.full((16, 16, 3), 40 + 140 * code + number, np.uint8)
        file = io.BytesIO()
        Image.fromarray(levels).save(file, "PNG")
        images.append({"bytes": file.getvalue(), "path": None})
    return pa.table({"image": pa.array(images, IMAGE_TYPE), "label": pa.array(labels)})
'''


@pytest.fixture
def squares(tmp_path):
    path = tmp_path / "squares_source.py"
    path.write_text(MODULE)
    spec = importlib.util.spec_from_file_location("squares_source", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with SOURCES.added(module.Squares):
        yield "squares:12"


def test_it_is_analysed(squares):
    found = synfill.analyze(squares, split="all")
    assert [histogram.split for histogram in found.splits] == ["train", "test"]
    assert [(c.name, c.images) for c in found.splits[0].classes] == [("dark", 12), ("light", 4)]


def test_it_is_balanced(squares, sd_model, tmp_path):
    found = synfill.balance(squares, model=str(sd_model), out=tmp_path / "out", dry_run=True)
    assert [(c.name, c.before, c.synthetic) for c in found.counts] == [
        ("dark", 12, 0),
        ("light", 4, 8),
    ]


def test_it_is_trained_on(squares, tmp_path):
    path = tmp_path / "recipe.yaml"
    recipe = {
        "name": "squares",
        "data": {"train": squares},
        "model": {"name": "resnet8"},
        "stages": [{"epochs": 1, "batch_size": 8, "lr": 0.01, "data": "real"}],
        "seeds": [0],
    }
    path.write_text(yaml.safe_dump(recipe))
    out = tmp_path / "trained"
    synfill.train(path, out=out)
    record = json.loads((out / "run.json").read_text())
    assert squares in json.dumps(record)


def test_it_is_listed_where_there_is_no_such_dataset(squares):
    with pytest.raises(UsageError) as caught:
        open_source("nowhere")
    for kind in SOURCES:
        assert kind.__doc__.partition("\n")[0].rstrip(".")[1:] in caught.value.hint


def test_options_of_other_kinds_are_refused(squares):
    with pytest.raises(UsageError, match="no folder of image files, so --layout means nothing"):
        open_source(squares, folder=FolderOptions(layout="class"))
