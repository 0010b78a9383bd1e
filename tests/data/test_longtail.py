import numpy as np
import pytest
from pydantic import ValidationError

from synfill.config.dataset import LongTail
from synfill.data.longtail import keep_long_tail, long_tail_counts
from synfill.errors import UsageError
from synfill.records import Factor, LabelTable


def balanced(classes, images):
    return np.full(classes, images, dtype=np.int64)


def tail(factor, type="exp", largest=None):
    return LongTail(imbalance_factor=factor, type=type, largest=largest)


def table_of(codes, classes):
    names = tuple(f"c{code}" for code in range(classes))
    codes = np.array(codes, dtype=np.int32)
    label = Factor("label", names, codes)
    return LabelTable("train", np.arange(len(codes), dtype=np.int64), label)


def test_cifar10():
    wanted = long_tail_counts(balanced(10, 5000), tail(100))
    assert wanted.tolist() == [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    assert wanted.sum() == 12_406


@pytest.mark.parametrize(
    ("classes", "images", "factor", "total"),
    [
        (10, 5000, 50, 13_996),
        (10, 5000, 10, 20_431),
        (100, 500, 100, 10_847),
        (100, 500, 50, 12_608),
        (100, 500, 10, 19_573),
    ],
)
def test_published_sizes(classes, images, factor, total):
    assert long_tail_counts(balanced(classes, images), tail(factor)).sum() == total


def test_step():
    wanted = long_tail_counts(balanced(10, 5000), tail(100, "step"))
    assert wanted.tolist() == [5000] * 5 + [50] * 5
    assert long_tail_counts(balanced(3, 100), tail(10, "step")).tolist() == [100, 100, 10]


def test_one_class_and_none():
    assert long_tail_counts(balanced(1, 7), tail(100)).tolist() == [7]
    assert long_tail_counts(balanced(1, 7), tail(100, "step")).tolist() == [7]
    assert long_tail_counts(balanced(0, 0), tail(100)).tolist() == []


@pytest.mark.parametrize(("factor", "largest"), [(0.5, None), (float("nan"), None), (10, 0)])
def test_impossible_numbers(factor, largest):
    with pytest.raises(ValidationError):
        tail(factor, largest=largest)


def test_rows_are_kept_by_seed():
    table = table_of([0, 1, 2] * 20, 3)
    first, again, other = (keep_long_tail(table, tail(4), seed)[0] for seed in (1, 1, 2))
    assert first.label.counts().tolist() == [20, 10, 5]
    assert first.rows.tolist() == sorted(first.rows.tolist())
    assert first.rows.tolist() == again.rows.tolist() != other.rows.tolist()


def test_missing_labels_are_left_out_and_noted():
    kept, notes = keep_long_tail(table_of([-1, 0, 0, 1, 1, -1], 2), tail(2))
    assert kept.rows.tolist()[:2] == [1, 2]
    assert kept.label.counts().tolist() == [2, 1]
    assert "2 images without a label" in notes[0]


def test_thin_classes_keep_all_they_have():
    kept, notes = keep_long_tail(table_of([0, 1, 1, 1, 1, 1], 2), tail(1, largest=3))
    assert kept.label.counts().tolist() == [1, 3]
    assert "c0 (1 of 3)" in notes[0]


def test_no_classes():
    table = LabelTable("train", np.arange(2, dtype=np.int64), None)
    with pytest.raises(UsageError, match="needs classes"):
        keep_long_tail(table, tail(10))
