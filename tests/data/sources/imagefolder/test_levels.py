"""Folders as people have them: classes are never invented in silence."""

import numpy as np
import pytest
from datasets_fixtures import make_tree

from synfill.data.labels import choose_label, read_label_tables
from synfill.data.source import open_source
from synfill.errors import UsageError
from synfill.records import FolderOptions


def read(root, layout=None):
    """The images of each class, by split, and the notes; a split's images where it has none."""
    source = open_source(str(root), folder=FolderOptions(layout))
    label = choose_label(source, None)
    if label is None:
        return {split: source.count(split) for split in source.splits}, source.notes
    tables = read_label_tables(source, source.splits, label)
    found = {}
    for split, table in tables.items():
        counts = zip(table.label.names, table.label.counts().tolist(), strict=True)
        found[split] = {name: count for name, count in counts if count}
        if table.label.missing:
            found[split][None] = table.label.missing
    return found, source.notes


PLAIN = [
    ({"cat": 2, "dog": 3}, {"train": {"cat": 2, "dog": 3}}),
    (
        {"train/cat": 2, "train/dog": 1, "test/cat": 1},
        {"train": {"cat": 2, "dog": 1}, "test": {"cat": 1}},
    ),
    ({"cat/images": 2, "dog/images": 3}, {"train": {"cat": 2, "dog": 3}}),
    ({"cat": 5, "cat/black": 2, "dog": 3}, {"train": {"cat": 7, "dog": 3}}),
    # Thin classes without subfolders stay classes beside the fat ones that have some.
    ({"cat/black": 90, "cat/white": 50, "dog": 3}, {"train": {"cat": 140, "dog": 3}}),
    ({"bus": 3, "train": 2, "car": 1}, {"train": {"bus": 3, "car": 1, "train": 2}}),
    (
        {"train/cat/x": 3, "train/dog/x": 2, "test/cat/x": 2},
        {"train": {"cat": 3, "dog": 2}, "test": {"cat": 2}},
    ),
]


@pytest.mark.parametrize(("counts", "expected"), PLAIN)
def test_plain_layouts_say_nothing(tmp_path, counts, expected):
    found, notes = read(make_tree(tmp_path / "d", counts))
    assert found == expected
    assert notes == ()


TWO = {"train": {"cat": 2, "dog": 3}, "test": {"cat": 1, "dog": 1}}
WRAPPED = [
    (
        {
            "dataset/train/cat": 2,
            "dataset/train/dog": 3,
            "dataset/test/cat": 1,
            "dataset/test/dog": 1,
        },
        TWO,
        "dataset/split/class",
    ),
    ({"cifar/images/cat": 2, "cifar/images/dog": 3}, {"train": TWO["train"]}, "cifar/images/class"),
    ({"data/cat/images": 2, "data/dog/images": 3}, {"train": TWO["train"]}, "data/class"),
    (
        {"train/images/cat": 2, "train/images/dog": 3, "test/images/cat": 1, "test/images/dog": 1},
        TWO,
        "split/*/class",
    ),
    (
        {"images/train/cat": 2, "images/train/dog": 3, "images/test/cat": 1, "images/test/dog": 1},
        TWO,
        "images/split/class",
    ),
    ({"cat/train": 2, "cat/test": 1, "dog/train": 3, "dog/test": 1}, TWO, "class/split"),
    (
        {"train/a/cat": 2, "train/a/dog": 3, "test/b/cat": 1, "test/b/dog": 1},
        TWO,
        "split/*/class",
    ),
    (
        {"train/a/cat": 2, "train/a/dog": 3, "test/cat": 1, "test/dog": 1},
        TWO,
        "split/class and split/*/class",
    ),
    (
        {
            "seg_train/seg_train/cat": 2,
            "seg_train/seg_train/dog": 3,
            "seg_test/seg_test/cat": 1,
            "seg_test/seg_test/dog": 1,
            "seg_pred/seg_pred": 2,
        },
        TWO,
        "split/*/class",
    ),
    (
        {"train/cat": 2, "train/dog": 3, "test1/cat": 1, "test1/dog": 1},
        TWO,
        "split/class",
    ),
    ({"x/train/cat": 2, "x/train/dog": 3}, {"train": TWO["train"]}, "x/split/class"),
    ({"train": 3, "test1": 2}, {"train": 3, "test": 2}, "split"),
    (
        {"dataset/cat": 30, "dataset/dog": 30, "": 1},
        {"train": {"cat": 30, "dog": 30}},
        "dataset/class",
    ),
]


@pytest.mark.parametrize(("counts", "expected", "pattern"), WRAPPED)
def test_other_layouts_are_read_as_what_they_are_and_told(tmp_path, counts, expected, pattern):
    root = make_tree(tmp_path / "d", counts)
    found, notes = read(root)
    assert found == expected
    told = [note for note in notes if note.startswith("Read as")]
    assert len(told) == 1 and told[0].startswith(f"Read as {pattern}: split")
    # What is told says the same when it is given.
    if " and " not in pattern:
        given, notes = read(root, pattern)
        assert {s: given[s] for s in expected} == expected
        assert not any(note.startswith("Read as") for note in notes)


UNCLEAR = [
    (
        {"animals/cat": 2, "animals/dog": 1, "vehicles/car": 3},
        {"class": {"animals": 3, "vehicles": 3}, "*/class": {"cat": 2, "dog": 1, "car": 3}},
    ),
    (
        {
            "amazon/images/bike": 2,
            "amazon/images/car": 2,
            "dslr/images/bike": 3,
            "dslr/images/car": 3,
        },
        {"class": {"amazon": 4, "dslr": 6}, "*/*/class": {"bike": 5, "car": 5}},
    ),
    (
        {"p1/0": 3, "p1/1": 2, "p2/0": 2},
        {"class": {"p1": 5, "p2": 2}, "*/class": {"0": 5, "1": 2}},
    ),
    (
        {"covid/images": 2, "covid/masks": 2, "none/images": 3, "none/masks": 3},
        {
            "class": {"covid": 4, "none": 6},
            "*/class": {"images": 5, "masks": 5},
            "class/images": {"covid": 2, "none": 3},
        },
    ),
    (
        {"a/train/x": 1, "a/train/y": 2, "a/test/x": 1, "b/train/x": 2, "b/test/y": 1},
        {"class/split": {"a": 3, "b": 2}, "*/split/class": {"x": 3, "y": 2}},
    ),
    (
        {"cat/train": 2, "cat/test": 3, "dog": 2},
        {"class": {"cat": 5, "dog": 2}, "class/split": {"cat": 2}},
    ),
    (
        {
            "train/animals/cat": 2,
            "train/animals/dog": 1,
            "train/cars/van": 3,
            "test/animals/cat": 1,
        },
        {"split/class": {"animals": 3, "cars": 3}, "split/*/class": {"cat": 2, "dog": 1, "van": 3}},
    ),
]


@pytest.mark.parametrize(("counts", "readings"), UNCLEAR)
def test_two_readings_are_shown_and_one_option_chooses(tmp_path, counts, readings):
    root = make_tree(tmp_path / "d", counts)
    with pytest.raises(UsageError, match="could be classes in 2 ways") as caught:
        read(root)
    for pattern, expected in readings.items():
        if pattern != "class/images":
            assert f"--layout '{pattern}': classes " in caught.value.message
        assert read(root, pattern)[0]["train"] == expected


def test_the_readings_show_their_counts_shortened(tmp_path):
    counts = {f"{'ab'[k % 2]}/class {k}": k + 1 for k in range(8)}
    with pytest.raises(UsageError) as caught:
        read(make_tree(tmp_path, counts))
    assert "a (16), b (20)" in caught.value.message
    assert "class 0 (1), class 1 (2), class 2 (3), class 3 (4), class 4 (5), ... (8 in all)" in (
        caught.value.message
    )


@pytest.mark.parametrize(
    "counts", [{"images": 3}, {"train/images": 3, "test/images": 2}, {"dataset/jpg": 3}]
)
def test_a_folder_called_images_is_no_class(tmp_path, counts):
    found, notes = read(make_tree(tmp_path / "d", counts))
    assert found["train"] == 3
    assert any("that name is taken for no class" in note for note in notes)


def test_a_single_class_is_told(tmp_path):
    for counts in ({"cat": 3}, {"cifar/cat": 3}, {"train/cat": 2, "test/cat": 1}):
        found, notes = read(make_tree(tmp_path / str(len(counts)) / next(iter(counts)), counts))
        assert list(found["train"]) == ["cat"]
        assert "There is only one class, 'cat'." in notes


def test_other_words_for_the_same_classes_are_told(tmp_path):
    root = make_tree(tmp_path, {"train/n01/tench": 1, "train/n02/crab": 2})
    found, notes = read(root)
    assert found == {"train": {"n01": 1, "n02": 2}}
    told = "The same classes are called crab, tench one level below: --layout 'split/*/class'."
    assert notes == (told,)
    assert read(root, "split/*/class")[0] == {"train": {"tench": 1, "crab": 2}}


def test_a_test_split_without_classes(tmp_path):
    counts = {"train/cat": 3, "train/dog": 3, "test/unknown": 4}
    found, notes = read(make_tree(tmp_path / "a", counts))
    assert found == {"train": {"cat": 3, "dog": 3}, "test": {None: 4}}
    assert notes == ("test/unknown: that name is taken for no class.",)
    # Any other name is a class that the training images lack.
    found, notes = read(make_tree(tmp_path / "b", {"train/cat": 3, "train/dog": 3, "test/cow": 4}))
    assert found == {"train": {"cat": 3, "dog": 3}, "test": {"cow": 4}}
    assert notes == ()


def test_junk_beside_changes_nothing(tmp_path):
    root = make_tree(tmp_path / "d", {"data/train/cat": 2, "data/train/dog": 1, "data/val/cat": 1})
    for name in ("README.md", "LICENSE", "data/classes.txt", "data/.DS_Store", "data/train/._cat"):
        (root / name).write_text("x")
    make_tree(root, {"__MACOSX/data/train/cat": 2, "@eaDir": 1})
    found, _ = read(root)
    assert found == {"train": {"cat": 2, "dog": 1}, "validation": {"cat": 1}}


def test_images_that_a_layout_leaves_out_are_counted(tmp_path):
    root = make_tree(tmp_path, {"cat/images": 2, "cat/masks": 2, "dog/images": 1, "dog/masks": 1})
    notes = read(root, "class/images")[1]
    assert any(
        "2 images in the folder cat, which --layout class/images leaves out" in n for n in notes
    )


def test_a_layouts_splits_may_have_names_of_their_own(tmp_path):
    root = make_tree(tmp_path, {"fold1/cat": 3, "fold1/dog": 1, "fold2/cat": 1, "a b/cat": 2})
    found, notes = read(root, "split/class")
    assert found == {"fold1": {"cat": 3, "dog": 1}, "fold2": {"cat": 1}}
    assert any("2 images in the folder a b" in note for note in notes)


@pytest.mark.parametrize(
    "layout", ["", "/", "a//b", "class/class", "split/split", "../class", ".", "split/class", "x"]
)
def test_layouts_that_say_nothing(tmp_path, layout):
    with pytest.raises(UsageError, match="--layout"):
        read(make_tree(tmp_path, {"cat": 1, "dog": 1}), layout)


def test_a_balanced_dataset_inside_is_no_data(tmp_path):
    root = make_tree(tmp_path, {"cat": 1, "dog": 2, "labels-balanced/train/cat": 3})
    (root / "labels-balanced" / "synfill").mkdir()
    (root / "labels-balanced" / "synfill" / "run.json").write_text("{}")
    found, notes = read(root)
    assert found == {"train": {"cat": 1, "dog": 2}}
    assert any("labels-balanced is what `synfill balance` made" in note for note in notes)


NAMES = ["train", "test", "images", "cat", "dog", "a", "b", "split", "class", "1", "val"]


@pytest.mark.parametrize("seed", range(150))
def test_no_image_is_lost_or_counted_twice(tmp_path, seed):
    random = np.random.default_rng(seed)
    folders = {
        "/".join(random.choice(NAMES, random.integers(0, 4)).tolist())
        for _ in range(random.integers(1, 7))
    }
    counts = {folder: int(random.integers(1, 4)) for folder in sorted(folders)}
    root = make_tree(tmp_path, counts)
    try:
        source = open_source(str(root))
    except UsageError as error:
        assert "could be classes in" in error.message
        return
    paths = [source.describe_row(s, row) for s in source.splits for row in range(source.count(s))]
    passed = sum(int(note.split()[0]) for note in source.notes if "passed over" in note)
    assert len(set(paths)) == len(paths)
    assert len(paths) + passed == sum(counts.values())
