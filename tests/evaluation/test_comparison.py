import json
from dataclasses import replace

import pytest
from results_fixtures import COUNTS, WITHOUT_GROUPS, make_result

from synfill.evaluation.comparison import Subject, compare
from synfill.evaluation.metrics.base import metric_names
from synfill.training.request import TrainResult

SUBJECT = Subject("demo", "demo", COUNTS, 30)


def of(*right, counts=COUNTS):
    """One method: what is right of 10 images a class, for seeds 0, 1, ..."""
    return {seed: make_result(seed, classes, counts) for seed, classes in enumerate(right)}


RESULTS = {
    "ce": of((10, 5, 1), (10, 5, 2), (9, 6, 0)),
    "synaug": of((10, 8, 6), (9, 8, 7), (9, 8, 6)),
    "oversample": of((10, 5, 2), (9, 5, 1), (9, 6, 3)),
}


def test_comparison_json():
    content = compare(SUBJECT, RESULTS).to_json()
    content = json.loads(json.dumps(content))
    figures = metric_names("comparison")
    assert [one["method"] for one in content] == ["ce", "synaug", "oversample"]
    for one in content:
        assert set(one) == {"method", "budget", "seeds", *figures, "difference", "steps",
                            "images_seen", "seconds"}  # fmt: skip
        assert all(set(one[name]) == {"mean", "std", "ci95", "values"} for name in figures)
        assert one["seeds"] == [0, 1, 2] and one["steps"] == [100] * 3
    assert content[0]["difference"] is None
    assert content[1]["tail"]["values"] == [0.6, 0.7, 0.6]
    difference = content[1]["difference"]
    assert difference["from"] == "ce" and difference["seeds"] == [0, 1, 2]
    assert difference["tail"]["values"] == pytest.approx([0.5, 0.5, 0.6])
    # By hand: std 0.057735, t 4.3027, root of 3.
    assert difference["tail"]["ci95"] == pytest.approx(0.14342, rel=1e-4)


def test_it_says_which_differences_are_larger_than_their_interval():
    comparison = compare(SUBJECT, RESULTS)
    synaug, oversample = comparison.verdicts()
    assert "tail +53.3 ± 14.3 points, more than the interval" in synaug
    assert "accuracy +2.2 ± 20.8 points, not more than the interval" in oversample
    text = comparison.to_markdown()
    header, rule, *rows = (line for line in text.splitlines() if line.startswith("|"))
    assert header.count("|") == rule.count("|") == rows[0].count("|") and len(rows) == 3
    assert rows[0].startswith("| ce | 53.3 ± 8.3 |")
    for words in ("196 real images, 6 to 150 a class", "254 synthetic", "30 real test images",
                  "Seeds: 0, 1, 2", "chose nothing", "groups place", synaug):  # fmt: skip
        assert words in text


def test_a_comparison_reads_well_and_becomes_a_frame(tmp_path):
    comparison = compare(SUBJECT, RESULTS)
    for words in ("synaug", *comparison.columns(), *comparison.verdicts()):
        assert words in repr(comparison)
    frame = comparison.to_pandas().set_index("method")
    assert frame.loc["synaug", "difference_tail"] == pytest.approx(0.16 / 0.3)
    assert frame.loc["synaug", "difference_tail_ci95"] == pytest.approx(0.14342, rel=1e-4)
    assert frame.loc["ce", "seeds"] == 3 and frame.accuracy.dtype == float
    # Of a run: a row a seed.
    result = TrainResult(tmp_path, None, RESULTS, SUBJECT, comparison)
    frame = result.to_pandas()
    assert len(frame) == 9 and frame["tail"].dtype == float
    assert frame[(frame["method"] == "synaug") & (frame.seed == 1)]["tail"].item() == 0.7
    assert "synaug, seed 1" in repr(result) and "more than the interval" in repr(result)


def test_rows_for_a_terminal_leave_out_what_applies_to_nothing():
    comparison = compare(SUBJECT, RESULTS)
    assert comparison.columns() == [
        "steps", "accuracy", "many", "medium", "few", "tail", "worst cell",
        "accuracy - ce", "tail - ce", "worst cell - ce",
    ]  # fmt: skip
    assert all(len(row) == 11 for row in comparison.rows())
    bare = {name: of((10, 5, 1), (10, 5, 2), counts=WITHOUT_GROUPS) for name in ("ce", "synaug")}
    comparison = compare(Subject("x", "photos", WITHOUT_GROUPS, 30), bare)
    assert "worst cell" not in comparison.columns()
    assert comparison.to_json()[0]["worst_cell"] is None
    assert comparison.to_json()[1]["difference"]["worst_cell"] is None
    row = next(line for line in comparison.to_markdown().splitlines() if line.startswith("| ce"))
    assert row.split("|")[10].strip() == "-"


def test_one_seed_has_no_interval():
    comparison = compare(SUBJECT, {name: {0: runs[0]} for name, runs in RESULTS.items()})
    assert comparison.to_json()[1]["difference"]["tail"]["ci95"] is None
    assert "±" not in " ".join(" ".join(row) for row in comparison.rows())
    *verdicts, last = comparison.verdicts()
    assert all("one seed, no interval" in verdict for verdict in verdicts)
    assert last.startswith("One seed gives no interval")


def test_only_seeds_that_both_have_are_paired():
    runs = {seed: make_result(seed, (10, 8, seed)) for seed in (2, 3, 4)}
    comparison = compare(
        SUBJECT, {**RESULTS, "late": runs, "other": {9: make_result(9, (1, 1, 1))}}
    )
    late, other = json.loads(json.dumps(comparison.to_json()))[3:]
    assert late["difference"]["seeds"] == [2] and late["difference"]["tail"]["ci95"] is None
    assert late["tail"]["values"] == [0.2, 0.3, 0.4]
    assert other["difference"]["seeds"] == [] and other["difference"]["tail"] is None
    assert "no seed in common" in " ".join(comparison.verdicts())


def test_a_single_method_is_a_table_too():
    comparison = compare(SUBJECT, {"recipe": RESULTS["ce"]})
    assert comparison.verdicts() == []
    assert len(comparison.rows()) == 1 and "recipe" in comparison.to_markdown()


def test_the_lengths_are_told():
    comparison = compare(SUBJECT, RESULTS)
    assert "every method took the same optimizer steps (budget: steps)" in comparison.to_markdown()
    assert {entry["budget"] for entry in comparison.to_json()} == {"steps"}
    assert comparison.rows()[0][1] == "100"
    other = compare(replace(SUBJECT, budget="epochs"), RESULTS)
    assert "its epochs over its own images (budget: epochs)" in other.describe_budget()
    longer = {0: replace(RESULTS["synaug"][0], steps=180)}
    mixed = compare(SUBJECT, {"ce": RESULTS["ce"], "retrained": longer})
    assert "as many optimizer steps as one of the recipe's own stages" in mixed.describe_budget()
    assert "second stage's on top of the first one's" in mixed.to_markdown()
