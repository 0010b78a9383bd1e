import numpy as np
import pytest

from synfill.balancing.deficit import Rules, find_deficit
from synfill.balancing.target import parse_target
from synfill.errors import UsageError
from synfill.records import Factor, LabelTable


def table_of(counts):
    codes = np.repeat(np.arange(len(counts)), counts).astype(np.int32)
    label = Factor("label", tuple(f"c{k}" for k in range(len(counts))), codes)
    return LabelTable("train", np.arange(len(codes)), label)


def to_make(counts, target, **rules):
    table = table_of(counts)
    made = np.zeros(len(table), dtype=bool)
    return find_deficit(table, (), made, parse_target(target), Rules(**rules))[0].to_make.tolist()


def test_a_limit_goes_to_the_emptiest_whatever_the_target():
    assert to_make([5, 1, 0], "uniform:10000000", limit=6) == [0, 3, 3]
    assert to_make([5, 1, 0], "uniform:5", limit=6) == [0, 3, 3]
    assert to_make([5, 1, 0], "uniform:5", limit=100) == [0, 4, 5]


def test_more_than_a_run_can_hold_is_refused():
    with pytest.raises(UsageError, match="19,999,999 images, which is more than a run can hold"):
        to_make([1, 0], "uniform:10000000")
    with pytest.raises(UsageError, match="more than a run can hold"):
        to_make([1, 0], "uniform:10000000", limit=20_000_000)
    with pytest.raises(UsageError, match="more than a run can hold"):
        to_make([1] * 300, "uniform:10000000", limit=1_000_000)
