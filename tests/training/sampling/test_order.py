import numpy as np
import pytest

from synfill.config.components import SAMPLERS
from synfill.config.recipes.methods import StagePlace
from synfill.config.recipes.settings import StageSettings
from synfill.errors import UsageError
from synfill.training.images.known import Known
from synfill.training.sampling.base import Epoch
from synfill.training.sampling.checks import check_stage
from synfill.training.sampling.order import choose, cut_batches, plan_epoch

LABELS = np.repeat([0, 1, 2], [60, 30, 10])
SYNTHETIC = np.zeros(100, dtype=bool)
NO_CELLS = np.full(100, -1)
PLACE = StagePlace("stages.1", "stages.1", None)
NAMES = ("ant", "bee", "cat")


def stage(**settings):
    return StageSettings.model_validate({"epochs": 1, "batch_size": 8, "data": "real", **settings})


def epoch(sampling, positions=None, labels=LABELS, cells=None, seed=0, fixed=0):
    cells = np.full(len(labels), -1) if cells is None else cells
    positions = np.arange(len(labels)) if positions is None else positions
    generator, chooser = np.random.default_rng(seed), np.random.default_rng(fixed)
    sampler = SAMPLERS.parse(sampling)
    seen = Known(labels[positions], cells[positions], np.zeros(len(positions), dtype=bool))
    order = positions[sampler.draw(seen, Epoch(0, generator, chooser))]
    assert len(order) == sampler.length(labels[positions])
    return order


def check(
    settings,
    labels=LABELS,
    cells=NO_CELLS,
    synthetic=SYNTHETIC,
    is_retraining=False,
    processes=1,
    place=PLACE,
):
    images = Known(labels, cells, synthetic)
    return check_stage(place, settings, NAMES, images, is_retraining, processes)


def test_choose():
    synthetic = np.array([False, True, False])
    assert choose("real", synthetic).tolist() == [0, 2]
    assert choose("synthetic", synthetic).tolist() == [1]
    assert choose("real+synthetic", synthetic).tolist() == [0, 1, 2]


def test_as_is_shows_each_image_once():
    positions = np.array([3, 50, 99])
    assert sorted(epoch("as-is", positions)) == [3, 50, 99]
    assert epoch("as-is").tolist() != epoch("as-is", seed=1).tolist()


def test_class_balanced_draws_classes_alike_and_images_within():
    labels = np.repeat(LABELS, 300)
    order = epoch("class-balanced", labels=labels)
    shares = np.bincount(labels[order]) / len(order)
    assert np.abs(shares - 1 / 3).max() < 0.01
    within = np.bincount(order[labels[order] == 2], minlength=len(labels))[labels == 2]
    assert abs(within.mean() - 10 / 3) < 0.1 and abs(within.var() / within.mean() - 1) < 0.1


def test_a_class_without_images_is_not_drawn():
    positions = np.flatnonzero(LABELS != 1)
    for sampling in ("class-balanced", "undersample"):
        assert set(LABELS[epoch(sampling, positions)]) == {0, 2}


def test_undersampling_keeps_its_choice_but_not_its_order():
    first, second = epoch("undersample"), epoch("undersample", seed=1)
    assert np.bincount(LABELS[first]).tolist() == [10, 10, 10]
    assert sorted(first) == sorted(second) and first.tolist() != second.tolist()
    assert sorted(first) != sorted(epoch("undersample", fixed=1))


def test_group_balanced_draws_cells_alike_and_never_those_without():
    labels, cells = np.repeat(LABELS, 100), np.repeat(np.arange(100) % 7 - 1, 100)
    cells[cells == 3] = 2
    order = epoch("group-balanced", labels=labels, cells=cells)
    counts = np.bincount(cells[order], minlength=6)
    assert (cells[order] >= 0).all() and counts[3] == 0
    assert np.abs(counts[[0, 1, 2, 4, 5]] / len(order) - 0.2).max() < 0.02


@pytest.mark.parametrize("sampling", ["as-is", "class-balanced", "undersample", "group-balanced"])
def test_seeds_decide(sampling):
    cells = LABELS * 2
    assert epoch(sampling, cells=cells).tolist() == epoch(sampling, cells=cells).tolist()


@pytest.mark.parametrize("world", [1, 2, 3])
def test_ranks_share_the_same_batches(world):
    order = np.random.default_rng(0).permutation(100)
    whole = cut_batches(order, 24)
    assert np.concatenate(whole).tolist() == order.tolist()
    parts = [cut_batches(order, 24, rank, world) for rank in range(world)]
    for batch, *shares in zip(whole, *parts, strict=False):
        assert len({len(share) for share in shares}) == 1
        together = np.concatenate(shares)
        assert together.tolist() == batch[: len(together)].tolist()
        assert len(batch) - len(together) < world


def test_no_batch_of_one_image():
    assert [len(b) for b in cut_batches(np.arange(9), 4)] == [4, 4]
    assert [len(b) for b in cut_batches(np.arange(10), 4)] == [4, 4, 2]
    assert [len(b) for b in cut_batches(np.arange(1), 4)] == [1]
    assert [len(b) for b in cut_batches(np.arange(3), 1)] == [1, 1, 1]


def test_a_batch_larger_than_the_data():
    with pytest.raises(
        UsageError, match=r"stages\.1 has a batch size of 128, but only 100"
    ) as caught:
        check(stage(batch_size=128))
    assert "stages.1.batch_size=64" in caught.value.hint
    assert check(stage(batch_size=100)) == ()


def test_undersampling_cuts_the_batch():
    settings = stage(batch_size=64, sampling="undersample")
    (warning,) = check(settings)
    assert "30 instead of 64" in warning
    images = Known(LABELS, NO_CELLS, SYNTHETIC)
    assert plan_epoch(settings, images, 1).batch_size == 30
    assert plan_epoch(stage(batch_size=64), images, 1).batch_size == 64


def test_no_synthetic_images():
    for data in ("synthetic", "real+synthetic"):
        with pytest.raises(UsageError, match="no synthetic ones") as caught:
            check(stage(data=data))
        assert "data.synthetic" in caught.value.hint


def test_a_class_without_a_real_image():
    labels = np.where(LABELS == 2, 1, LABELS)
    (warning,) = check(stage(), labels)
    assert "no real image of cat" in warning
    for settings, is_retraining in ((stage(), True), (stage(sampling="class-balanced"), False)):
        with pytest.raises(UsageError, match="cat has no real image"):
            check(settings, labels, is_retraining=is_retraining)


def test_few_real_images_to_retrain_on():
    (warning,) = check(stage(), is_retraining=True)
    assert "fewer than 20 real images of cat (10)" in warning
    assert check(stage()) == ()
    synthetic = np.arange(100) >= 90
    assert check(stage(data="real+synthetic"), synthetic=synthetic, is_retraining=True) == ()


def test_messages_of_a_built_in_method_do_not_advise_what_it_decides():
    place = StagePlace("synaug, stage 1", "stages.0", "synaug")
    with pytest.raises(UsageError, match="synaug, stage 1 is to see real") as caught:
        check(stage(data="real+synthetic"), place=place)
    assert "leave synaug out" in caught.value.hint and "stages.0.data" not in caught.value.hint
    (warning,) = check(stage(), is_retraining=True, place=place)
    assert warning.startswith("synaug, stage 1 re-trains") and "stages.0.data" not in warning
    with pytest.raises(UsageError, match="cat has no real image") as caught:
        check(stage(), np.where(LABELS == 2, 1, LABELS), is_retraining=True, place=place)
    assert "Leave synaug out" in caught.value.hint
    # The batch size is the recipe's all the same.
    with pytest.raises(UsageError, match="synaug, stage 1 has a batch size") as caught:
        check(stage(batch_size=128), place=place)
    assert "stages.0.batch_size=64" in caught.value.hint


def test_more_processes_than_images_in_a_batch():
    with pytest.raises(UsageError, match="4 processes can't share a batch of 3") as caught:
        check(stage(batch_size=3), processes=4)
    assert "stages.1.batch_size=8" in caught.value.hint
    assert check(stage(batch_size=4), processes=4) == ()


def test_groups_for_group_balanced():
    settings = stage(sampling="group-balanced")
    with pytest.raises(UsageError, match="none of its images has a group"):
        check(settings)
    (warning,) = check(settings, cells=np.where(np.arange(100) < 10, -1, 0))
    assert "10 of 100 images have no group" in warning
