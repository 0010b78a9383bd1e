"""A new metric is a class and a line: it is in every table of runs that are finished already."""

import importlib
import json

from training_fixtures import make_colours, write_recipe

import synfill
from synfill.config.components import METRICS

MODULE = '''
from typing import ClassVar, Literal

from synfill.evaluation.metrics.base import Metric


class TopTwo(Metric):
    """Share of images whose class is among the two most probable.

    By probability, the first of equal ones.
    """

    name: Literal["top_two"] = "top_two"
    shown: ClassVar[str] = "summary"
    is_paired: ClassVar[bool] = True

    def measure(self, answers):
        two = (-answers.probabilities).argsort(axis=1, kind="stable")[:, :2]
        return float((two == answers.labels[:, None]).any(axis=1).mean())
'''


def test_a_new_metric_is_in_the_tables_of_a_finished_run(tmp_path, monkeypatch):
    (tmp_path / "top_two.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    recipe = write_recipe(tmp_path / "recipe.yaml", make_colours(tmp_path / "colours"))
    asked = {
        "overrides": ["stages.0.epochs=1", "stages.0.warmup=0"],
        "compare": ["ce", "oversample"],
        "out": tmp_path / "out",
        "device": "cpu",
    }
    before = synfill.train(recipe, **asked)
    assert "top two" not in before.comparison.to_markdown()
    results = {path: path.read_bytes() for path in (tmp_path / "out").rglob("result.json")}
    weights = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.safetensors")}
    assert len(results) == len(weights) == 2
    with METRICS.added(importlib.import_module("top_two").TopTwo):
        again = synfill.train(recipe, **asked)
        assert "top two" in repr(again.comparison) and "top_two" in again.to_pandas()
    # Nothing was trained: every file of a seed is the one that was there.
    assert {path: path.read_bytes() for path in results} == results
    assert {path: path.stat().st_mtime_ns for path in weights} == weights
    found = again.results["ce"][0].test.figures["top_two"]
    assert found >= before.results["ce"][0].test.accuracy
    metrics = json.loads((tmp_path / "out/ce/metrics.json").read_text())
    assert metrics["test"]["top_two"]["values"] == [found]
    assert metrics["definitions"]["top_two"].startswith("share of images whose class")
    first, other = json.loads((tmp_path / "out/comparison.json").read_text())
    assert first["top_two"]["mean"] == found and "top_two" in other["difference"]
    header = next(line for line in (tmp_path / "out/comparison.md").open() if "worst cell" in line)
    assert "| top two |" in header and "| top two less ce's |" in header
    # And gone with it.
    synfill.train(recipe, **asked)
    assert "top_two" not in (tmp_path / "out/ce/metrics.json").read_text()
