import pytest

from synfill.errors import RunError
from synfill.names import (
    canonical_split,
    check_classes,
    check_path,
    check_split,
    natural_key,
    origin_name,
    readable,
    sort_splits,
    split_of_file,
)


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


def test_splits_are_those_that_datasets_allows():
    from datasets.naming import _split_re

    for name in ("train", "a.b.c", "fold_1", "日本", "2020", "x" * 200):
        assert check_split(name, "here") == name
    names = ("../x", "/x", "a/b", "a-b", "a b", "", ".", "..", ".a", "a.", "a\n", "a\0", "\udcff")
    for name in names:
        with pytest.raises(RunError, match=r"^here: "):
            check_split(name, "here")
    # The pattern's own `$` lets a line feed pass.
    import re

    assert [n for n in names if re.match(_split_re, n)] == ["a\n"]
    for name in ("x" * 201, None, 3, ["a"]):
        with pytest.raises(RunError):
            check_split(name, "here")


@pytest.mark.parametrize(
    "name", ["../x", "a/../x", "/x", "C:x", "a\\..\\x", "", "a\0", "\udcff", None]
)
def test_paths_stay_below_the_folder(name):
    with pytest.raises(RunError, match="no path of a file below"):
        check_path(name, "here")


def test_paths_of_files():
    for name in ("a", "data/a.parquet", "a b/..x/ü", "~x", "xx:y"):
        assert check_path(name, "here") == name


def test_class_names():
    assert check_classes(["a", 1, True], "here") == ("a", "1", "True")
    assert check_classes([], "here") == ()
    for names in (["a", "a"], ["1", 1], [None], [["a"]], [{}], ["\udcff"]):
        with pytest.raises(RunError, match=r"^here: "):
            check_classes(names, "here")
    with pytest.raises(RunError, match="1,001 characters"):
        check_classes(["a", "x" * 1001], "here")


def test_names_that_are_no_text_are_shown():
    assert readable("a/ü.png") == "a/ü.png"
    assert readable("a/\udcff.png") == "a/\ufffd.png"
