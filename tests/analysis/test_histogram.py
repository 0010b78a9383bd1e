import math

import numpy as np
import pytest

from synfill.analysis.histogram import compute_figures, count_images, cramers_v
from synfill.errors import UsageError
from synfill.records import Cell, Factor, LabelTable


def factor(name, values, codes):
    return Factor(name, values, np.array(codes, dtype=np.int32))


def table(label, *groups):
    size = len(label.codes if label is not None else groups[0].codes)
    return LabelTable("train", np.arange(size), label, groups)


def test_figures_of_a_known_histogram():
    figures = compute_figures(np.array([200, 100, 50, 10]), missing_labels=3)
    assert figures.images == 363
    assert (figures.largest, figures.smallest, figures.imbalance_factor) == (200, 10, 20)
    assert (figures.many, figures.medium, figures.few) == (1, 2, 1)
    # By the definition: mean absolute difference over twice the mean.
    x = np.array([200, 100, 50, 10])
    gini = np.abs(x[:, None] - x[None, :]).mean() / (2 * x.mean())
    assert figures.gini == pytest.approx(gini)
    p = x / x.sum()
    assert figures.effective_classes == pytest.approx(math.exp(-(p * np.log(p)).sum()))


def test_an_even_histogram():
    figures = compute_figures(np.array([7, 7, 7]), 0)
    assert figures.imbalance_factor == 1
    assert figures.gini == pytest.approx(0)
    assert figures.normalized_entropy == pytest.approx(1)
    assert figures.effective_classes == pytest.approx(3)


def test_an_empty_class_has_no_finite_imbalance_factor():
    figures = compute_figures(np.array([8, 4, 0]), 0)
    assert figures.imbalance_factor is None
    assert figures.imbalance_factor_nonempty == 2
    assert (figures.empty_classes, figures.smallest) == (1, 0)


@pytest.mark.parametrize("counts", [[], [0, 0], [5]])
def test_degenerate_histograms_give_figures(counts):
    figures = compute_figures(np.array(counts, dtype=np.int64), 0)
    assert figures.images == sum(counts)
    assert figures.normalized_entropy is None


def test_boundaries_of_many_medium_few():
    figures = compute_figures(np.array([101, 100, 20, 19]), 0)
    assert (figures.many, figures.medium, figures.few) == (1, 2, 1)


def test_cramers_v():
    assert cramers_v(np.array([[10, 0], [0, 10]])) == pytest.approx(1)
    assert cramers_v(np.array([[10, 10], [20, 20]])) == pytest.approx(0)
    # sqrt(chi2 / n) of a 2x2 table is |ad - bc| / sqrt of the product of the margins.
    assert cramers_v(np.array([[30, 10], [5, 15]])) == pytest.approx(
        400 / math.sqrt(40 * 20 * 35 * 25)
    )
    assert cramers_v(np.array([[30, 10], [0, 0]])) is None


def test_cells_count_every_combination_and_leave_out_missing_values():
    label = factor("y", ("cat", "dog"), [0, 0, 1, -1, 1])
    group = factor("place", (False, True), [0, 1, 1, 1, -1])
    histogram = count_images(table(label, group))
    assert {one.cell: one.images for one in histogram.cells} == {
        Cell("cat", (("place", "False"),)): 1,
        Cell("cat", (("place", "True"),)): 1,
        Cell("dog", (("place", "False"),)): 0,
        Cell("dog", (("place", "True"),)): 1,
    }
    smallest = histogram.smallest_cell
    assert (smallest.cell, smallest.images) == (Cell("dog", (("place", "False"),)), 0)
    assert histogram.no_cell == 2
    assert histogram.figures.missing_labels == 1
    assert histogram.groups[0].missing == 1
    assert histogram.to_json()["class_counts"] == {"cat": 2, "dog": 2}


def test_images_without_classes_are_still_counted():
    group = factor("place", ("a",), [0, 0])
    histogram = count_images(table(None, group))
    assert histogram.figures.images == 2
    assert histogram.figures.missing_labels == 2
    assert histogram.classes == ()
    assert histogram.groups[0].cramers_v is None


def test_too_many_cells_are_refused():
    values = tuple(str(i) for i in range(4000))
    label = factor("y", values, [0])
    with pytest.raises(UsageError, match="too many cells"):
        count_images(table(label, factor("g", values, [0])))
