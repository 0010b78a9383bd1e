import json
import math
from pathlib import Path

import pytest
from results_fixtures import COUNTS, WITHOUT_GROUPS, make_result

from synfill.errors import RunError
from synfill.evaluation.comparison import Subject, compare
from synfill.evaluation.metrics.base import metric_names
from synfill.evaluation.results import Result, metrics_json, spread, write_json

RESULT = make_result(0, (9, 5, 1))
DOCS = Path(__file__).parents[2] / "docs/metrics.md"


def test_spread_is_students():
    found = spread([0.7, 0.8, 0.9])
    assert found is not None and found.ci95 is not None
    assert found.mean == pytest.approx(0.8) and found.std == pytest.approx(0.1)
    # 4.3027 is the 97.5 % quantile of t with 2 degrees of freedom, as printed in any table.
    assert found.ci95 == pytest.approx(4.3027 * 0.1 / math.sqrt(3), rel=1e-4)
    assert found.values == (0.7, 0.8, 0.9)


def test_one_seed_has_no_interval_and_null_stays_null():
    found = spread([0.5])
    assert found is not None and (found.mean, found.std, found.ci95) == (0.5, None, None)
    assert spread([0.5, None]) is None and spread([]) is None


def test_a_result_is_read_back(tmp_path):
    for seed, validation in ((0, True), (7, False)):
        result = make_result(seed, (9, 5, 1), validation=validation)
        result.write(tmp_path / "result.json")
        assert Result.read(tmp_path / "result.json", result.test, result.validation) == result


def test_figures_that_other_versions_wrote_down_are_not_looked_at(tmp_path):
    result = make_result(3, (9, 5, 1))
    result.write(tmp_path / "result.json")
    content = json.loads((tmp_path / "result.json").read_text())
    del content["test"]["tail"], content["versions"]
    content["test"]["recall"] = {"mean": 1}
    (tmp_path / "result.json").write_text(json.dumps(content))
    assert Result.read(tmp_path / "result.json", result.test, None) == result


COST = '"seed": 0, "steps": 1, "images_seen": 1, "seconds": '


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"seed": 0, "validation": null}', f"{{{COST}-1}}",
             f"{{{COST}true}}", f'{{{COST}"1"}}', f'{{{COST}1, "versions": [3]}}'],
)  # fmt: skip
def test_a_damaged_result_says_what_to_do(tmp_path, text):
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(RunError, match="is damaged") as caught:
        Result.read(tmp_path / "result.json", RESULT.test, None)
    assert f"Delete {tmp_path}" in caught.value.hint


def test_a_number_that_is_none_is_not_written(tmp_path):
    with pytest.raises(ValueError):
        write_json(tmp_path / "x.json", {"loss": math.nan})
    assert list(tmp_path.iterdir()) == []


def test_metrics_json(tmp_path):
    runs = {seed: make_result(seed, (9, 5, seed), validation=True) for seed in (1, 3)}
    write_json(tmp_path / "metrics.json", metrics_json("demo", "synaug", COUNTS, runs))
    content = json.loads((tmp_path / "metrics.json").read_text())
    assert content["seeds"] == [1, 3] and content["method"] == "synaug"
    test = content["test"]
    assert test == content["validation"]
    assert {*metric_names()} <= set(test)
    assert test["few"]["values"] == [0.1, 0.3] and test["few"]["mean"] == pytest.approx(0.2)
    assert test["per_class"][2]["accuracy"]["values"] == [0.1, 0.3]
    assert test["per_class"][2]["real"] == 6 and test["per_class"][2]["synthetic"] == 144
    assert test["per_cell"][0]["cell"] == "cat / place=land"
    assert test["worst_cell_name"] == ["yak / place=land"] * 2
    assert test["confusion"][1] == [[9, 1, 0], [0, 5, 5], [7, 0, 3]]
    assert content["steps"] == [100, 100]
    bare = {0: make_result(0, (9, 5, 1), WITHOUT_GROUPS)}
    write_json(tmp_path / "metrics.json", metrics_json("demo", "ce", WITHOUT_GROUPS, bare))
    content = json.loads((tmp_path / "metrics.json").read_text())
    assert content["test"]["worst_cell"] is None and content["test"]["per_cell"] == []
    assert content["validation"] is None


def keys_of(content):
    """Every key at any depth; the names of definitions are keys, too."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield key
            yield from keys_of(value)
    elif isinstance(content, list):
        for value in content:
            yield from keys_of(value)


def test_every_key_is_documented(tmp_path):
    runs = {seed: make_result(seed, (9, 5, seed), validation=True) for seed in (1, 3)}
    write_json(tmp_path / "metrics.json", metrics_json("demo", "synaug", COUNTS, runs))
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    comparison = compare(Subject("demo", "demo", COUNTS, 30), {"ce": runs, "synaug": runs})
    text = DOCS.read_text()
    missing = {key for key in keys_of([metrics, comparison.to_json()]) if f"`{key}`" not in text}
    assert not missing
