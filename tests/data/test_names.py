import pytest

from synfill.data.names import canonical_split, natural_key, origin_name, sort_splits, split_of_file


@pytest.mark.parametrize(
    ("name", "split"),
    [("train", "train"), ("Val", "validation"), ("dev", "validation"), ("testing", "test")],
)
def test_split_words(name, split):
    assert canonical_split(name) == split


def test_other_words_are_no_splits():
    assert canonical_split("trainer") is None


@pytest.mark.parametrize(
    ("stem", "split"),
    [
        ("train", "train"),
        ("train-00000-of-00003", "train"),
        ("valid-00001-of-00002", "validation"),
        ("fold1-00000-of-00002", "fold1"),
        ("cifar_test", "test"),
        ("images", None),
        ("train_test", None),
    ],
)
def test_split_of_a_file(stem, split):
    assert split_of_file(stem) == split


def test_splits_come_train_first():
    assert sort_splits(["b", "test", "a", "validation", "train"]) == (
        "train", "validation", "test", "a", "b",
    )  # fmt: skip


def test_natural_order():
    names = ["img10", "img2", "a", "10", "9", "img02", "9" * 5000]
    assert sorted(names, key=natural_key) == ["9", "10", "9" * 5000, "a", "img02", "img2", "img10"]


def test_names_for_files_are_safe():
    assert origin_name("../a b/c") == "a-b-c"
    assert origin_name("...") == "dataset"
