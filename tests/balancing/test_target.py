import numpy as np
import pytest

from synfill.balancing.target import parse_target, target_from_counts, wanted_counts
from synfill.errors import UsageError
from synfill.records import Cell

CELLS = tuple(Cell(name) for name in "abcd")
PRESENT = np.array([100, 30, 7, 0])


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("uniform", [100, 100, 100, 100]),
        ("uniform:40", [100, 40, 40, 40]),
        ("uniform:150", [150, 150, 150, 150]),
        ("median", [100, 30, 19, 19]),
        ("mean", [100, 35, 35, 35]),
        ("ratio:0.1", [100, 30, 10, 10]),
        ("ratio:1", [100, 100, 100, 100]),
        ("imbalance-factor:3", [100, 34, 34, 34]),
        ("imbalance-factor:1", [100, 100, 100, 100]),
        ("present", [100, 30, 7, 0]),
    ],
)
def test_targets(text, wanted):
    assert wanted_counts(parse_target(text), CELLS, PRESENT).tolist() == wanted


def test_ratios_are_exact():
    # 0.1 * 5000 is 500.00000000000006 or so in floating point for some such products.
    assert wanted_counts(parse_target("ratio:0.07"), CELLS, np.array([100, 1, 1, 1]))[1] == 7


@pytest.mark.parametrize(
    "text",
    ["unifrom", "uniform:", "uniform:0", "uniform:1.5", "uniform:x", "ratio", "ratio:0", "ratio:2",
     "imbalance-factor", "imbalance-factor:0.5", "median:3", "ratio:nan", "ratio:1/0", ""],
)  # fmt: skip
def test_wrong_targets_are_refused(text):
    with pytest.raises(UsageError):
        parse_target(text)


def test_a_misspelt_target_names_the_nearest():
    with pytest.raises(UsageError) as error:
        parse_target("unifrom")
    assert "'uniform'" in error.value.hint


def test_counts_by_class():
    target = target_from_counts({"b": 50, "c": 3}, "f.yaml")
    assert wanted_counts(target, CELLS, PRESENT).tolist() == [100, 50, 7, 0]


def test_counts_by_class_and_group():
    cells = [Cell(c, (("g", v),)) for c in "ab" for v in ("x", "y")]
    target = target_from_counts({"a": {"x": 9}, "b": 4}, "f.yaml")
    assert wanted_counts(target, cells, np.array([1, 2, 3, 5])).tolist() == [9, 2, 4, 5]


def test_unknown_names_in_counts_are_refused():
    with pytest.raises(UsageError, match="'e'"):
        wanted_counts(target_from_counts({"e": 5}, "f"), CELLS, PRESENT)
    cells = [Cell("a", (("g", "x"),))]
    with pytest.raises(UsageError, match="'z'"):
        wanted_counts(target_from_counts({"a": {"z": 5}}, "f"), cells, np.array([1]))


@pytest.mark.parametrize("content", [None, [], {}, "x", {"a": -1}, {"a": 1.5}, {"a": True}])
def test_a_wrong_target_file_is_refused(content):
    with pytest.raises(UsageError):
        target_from_counts(content, "f.yaml")
