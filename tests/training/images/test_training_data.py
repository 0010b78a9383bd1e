import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from datasets_fixtures import image_bytes, make_cells, make_imagefolder, make_parquet, make_table

from synfill.config.recipes.settings import DataSettings
from synfill.data.images import decode
from synfill.errors import RunError, UsageError
from synfill.reporter import LogReporter
from synfill.training.identity import count_train
from synfill.training.images.labels import find_labels
from synfill.training.images.training_data import read_training_data

KINDS = {"synthetic": "bool", "prompt": "string", "seed": "int64", "generator": "string"}


class Told(LogReporter):
    def __init__(self):
        self.warnings = []

    def warn(self, message):
        self.warnings.append(message)


def real_counts(data, kind="classes"):
    """Real training images of each class or cell."""
    counts = count_train(data, with_synthetic=True)
    return list(counts.real if kind == "classes" else counts.cell_real)


@pytest.fixture
def read(tmp_path):
    def read(train, balanced=None, reporter=None, **settings):
        data = DataSettings.model_validate({"train": str(train), **settings})
        found = find_labels(data, balanced)
        return read_training_data(data, found, "cpu", reporter or Told(), tmp_path / "work")

    return read


def write(path, counts, synthetic=None, **options):
    """A split; with the columns that `synfill balance` adds, where it is said what is synthetic."""
    table = make_table(counts, **options)
    if synthetic is not None:
        noted = json.loads(table.schema.metadata[b"huggingface"])
        for name, kind in KINDS.items():
            noted["info"]["features"][name] = {"dtype": kind, "_type": "Value"}
            nulls = pa.nulls(table.num_rows, getattr(pa, kind + "_" * (kind == "bool"))())
            table = table.append_column(name, pa.array(synthetic) if name == "synthetic" else nulls)
        table = table.replace_schema_metadata({"huggingface": json.dumps(noted)})
    path.parent.mkdir(exist_ok=True)
    pq.write_table(table, path)
    return path.parent


def pixels_of(images):
    return next(iter(images.pixels.batches([np.arange(len(images))])))


def image_of(seed, size=(16, 16)):
    levels = np.array(decode(image_bytes(seed, size)).convert("RGB"))
    return torch.from_numpy(levels).permute(2, 0, 1)


SPLITS = {"train": {"cat": 3, "ant": 2, "bee": 4}, "test": {"cat": 2, "ant": 1, "bee": 1}}


@pytest.fixture
def animals(tmp_path):
    return make_parquet(tmp_path / "animals", SPLITS)


def test_one_dataset(animals, read):
    data = read(animals)
    assert data.classes == ("cat", "ant", "bee") and data.cells == () and data.groups == ()
    assert data.train.labels.tolist() == [0] * 3 + [1] * 2 + [2] * 4
    assert data.test.labels.tolist() == [0, 0, 1, 2] and data.validation is None
    assert data.train.cells.tolist() == [-1] * 9 and not data.train.synthetic.any()
    assert real_counts(data) == [3, 2, 4] and data.image_size == 16
    shown = pixels_of(data.train)
    assert torch.equal(shown, torch.stack([image_of(seed) for seed in range(9)]))
    levels = shown.double() / 255
    assert np.allclose(data.mean, levels.mean(dim=(0, 2, 3)), atol=1e-9)
    assert np.allclose(data.std, levels.std(dim=(0, 2, 3), correction=0), atol=1e-9)


@pytest.mark.parametrize("labels", ["class", "string"])
def test_matched_by_name(animals, tmp_path, read, labels):
    # Other orders, other types, and a class that is named but has no image.
    test = make_parquet(
        tmp_path / "t.parquet", {"bee": 1, "cat": 2, "ant": 3, "dog": 0}, labels=labels
    )
    made = {"eel": 1, "ant": 2, "cat": 2}
    folder = write(tmp_path / "made/train.parquet", made, [True] * 4 + [False], labels=labels)
    data = read(animals, test={"source": str(test)}, synthetic=str(folder))
    assert data.classes == ("cat", "ant", "bee", "eel")
    names = np.array(data.classes)
    assert names[data.test.labels].tolist() == ["bee"] + ["cat"] * 2 + ["ant"] * 3
    assert names[data.train.labels[9:]].tolist() == ["eel", "ant", "ant", "cat"]
    assert data.train.synthetic.tolist() == [False] * 9 + [True] * 4
    assert data.train.rows.tolist() == [*range(9), 0, 1, 2, 3]
    assert real_counts(data) == [3, 2, 4, 0]
    real = pixels_of(data.train)[:9].double() / 255
    assert np.allclose(data.mean, real.mean(dim=(0, 2, 3)), atol=1e-9)
    again = read(animals, str(folder), test={"source": str(test)}, synthetic={"balance": {}})
    assert again.digests == data.digests


def test_numbers_are_not_names(animals, tmp_path, read):
    test = make_parquet(tmp_path / "t.parquet", {"cat": 2, "ant": 3}, labels="int")
    with pytest.raises(UsageError, match="no training image has: '0', '1'") as caught:
        read(animals, test={"source": str(test)})
    assert "cat, ant, bee" in caught.value.hint and "data.test" in caught.value.hint


def test_classes_of_the_test_that_train_lacks(tmp_path, read):
    counts = {"train": {"cat": 3, "ant": 2}, "test": {"cat": 2, "cats": 1, "ant": 1}}
    with pytest.raises(UsageError, match="no training image has: 'cats'") as caught:
        read(make_imagefolder(tmp_path / "d", counts))
    assert "Did you mean 'cat'?" in caught.value.hint


def test_cells(tmp_path, read):
    train = make_cells(tmp_path / "train.parquet", {("a", "x"): 2, ("a", "y"): 1, ("b", "y"): 3})
    test = make_cells(tmp_path / "test.parquet", {("b", "w"): 1, ("a", "y"): 1})
    data = read(train, group="place", test={"source": str(test)})
    names = [str(cell) for cell in data.cells]
    assert names == [f"{c} / place={p}" for c in "ab" for p in "xyw"]
    assert [names[cell] for cell in data.train.cells] == [
        *["a / place=x"] * 2, "a / place=y", *["b / place=y"] * 3
    ]  # fmt: skip
    assert [names[cell] for cell in data.test.cells] == ["b / place=w", "a / place=y"]
    assert real_counts(data, "cells") == [2, 1, 0, 0, 3, 0]


def test_a_missing_group_is_no_cell(tmp_path, read):
    groups = {"place": ["x", None], "light": ["day", "day", "night"]}
    counts = {"train": {"a": 3, "b": 3}, "test": {"a": 3, "b": 3}}
    data = read(make_parquet(tmp_path / "d", counts, groups=groups), group=["place", "light"])
    assert len(data.cells) == 4 and (data.train.cells == -1).tolist() == [False, True] * 3


@pytest.mark.parametrize(
    ("synthetic", "made"), [("auto", [False, True, False, True]), ("none", [False, False])]
)
def test_a_dataset_with_synthetic_images(tmp_path, read, synthetic, made):
    write(tmp_path / "d/train.parquet", {"a": 2, "b": 2}, [False, True] * 2)
    write(tmp_path / "d/test.parquet", {"a": 1, "b": 1}, [False] * 2, first_seed=50)
    data = read(tmp_path / "d", synthetic=synthetic)
    assert sorted(data.train.synthetic) == sorted(made)
    assert data.train.rows.tolist() == [0, 2, 1, 3][: len(made)]
    assert any("2 synthetic images" in note for note in data.notes) == (synthetic == "none")


def test_synthetic_images_are_not_tested_on(tmp_path, read):
    write(tmp_path / "d/train.parquet", {"a": 2, "b": 2}, [False] * 4)
    write(tmp_path / "d/test.parquet", {"a": 1, "b": 1}, [False, True])
    for settings in ({}, {"test": {"source": "demo"}, "validation": "test"}):
        with pytest.raises(UsageError, match="has 1 synthetic images"):
            read(tmp_path / "d", **settings)


def test_wrong_synthetic_images(animals, tmp_path, read):
    with pytest.raises(UsageError, match="doesn't say which of its images are synthetic"):
        read(animals, synthetic=str(animals))
    real = write(tmp_path / "real/train.parquet", {"cat": 2}, [False] * 2)
    grouped = tmp_path / "grouped"
    for split in ("train", "test"):
        write(grouped / f"{split}.parquet", {"cat": 2, "dog": 2}, groups={"ink": ["red"]})
    with pytest.raises(UsageError, match="doesn't say which of its images are synthetic"):
        read(grouped, synthetic=str(animals), group="ink")
    with pytest.raises(UsageError, match="has no synthetic image"):
        read(animals, synthetic=str(real))
    own = write(tmp_path / "own/train.parquet", {"cat": 2, "ant": 1}, [True, False, False])
    with pytest.raises(UsageError, match="1 synthetic images of its own"):
        read(own, synthetic=str(own))


def test_long_tail_and_validation_share(tmp_path, read):
    counts = {"train": {"a": 40, "b": 40, "c": 40}, "test": {"a": 1, "b": 1, "c": 1}}
    folder = make_parquet(tmp_path / "d", counts, size=(8, 8))
    settings = {"long_tail": {"imbalance_factor": 40}, "validation": 0.2}
    data = read(folder, **settings)
    assert real_counts(data) == [32, 5, 1]
    assert np.bincount(data.validation.labels, minlength=3).tolist() == [8, 1, 0]
    assert not set(data.train.rows) & set(data.validation.rows)
    assert any("The only image of c stays in train" in note for note in data.notes)
    assert read(folder, **settings).digests == data.digests
    assert read(folder, seed=1, **settings).digests["real"] != data.digests["real"]
    whole = read(folder, long_tail=40)
    assert set(whole.train.rows) == {*data.train.rows, *data.validation.rows}


def test_validation_split(read):
    data = read("demo", validation="validation", group="ink", image_size=16)
    assert [len(data.train), len(data.validation), len(data.test)] == [276, 800, 2000]
    assert len(data.cells) == 40 and (data.test.cells >= 0).all() and data.image_size == 16
    assert pixels_of(data.validation).shape == (800, 3, 16, 16)


@pytest.mark.parametrize(
    ("settings", "message", "hint"),
    [
        ({"test": "tset"}, "no split 'tset', which data.test should be", "Did you mean 'test'?"),
        ({"validation": "val"}, "which data.validation should be", "data.validation=..."),
        ({"test": "train"}, "data.test and data.train are the same split", "test"),
        ({"validation": "test"}, "data.validation and data.test are the same", "share"),
        ({"validation": "train"}, "data.validation and data.train are the same", "share"),
        ({"split": "trian"}, "no split 'trian'", "Did you mean 'train'?"),
        ({"label": "lable"}, "no column 'lable'", "Did you mean 'label'?"),
        ({"config": "x"}, "so data.config x means nothing", "Leave data.config out"),
        ({"test": {"source": "demo", "split": "x"}}, "which data.test.split should be", "train"),
    ],
)
def test_wrong_settings(tmp_path, read, settings, message, hint):
    folder = make_imagefolder(tmp_path / "d", SPLITS)
    with pytest.raises(UsageError, match=message) as caught:
        read(folder, **settings)
    assert hint in caught.value.hint


def test_images_without_a_label(tmp_path, read):
    table = make_table({"a": 3, "b": 3})
    labels = pa.array([0, None, 0, -1, 1, 1], pa.int64())
    (tmp_path / "d").mkdir()
    pq.write_table(
        table.set_column(1, table.schema.field("label"), labels), tmp_path / "d/train.parquet"
    )
    write(tmp_path / "d/test.parquet", {"a": 1, "b": 1}, first_seed=50)
    data = read(tmp_path / "d")
    assert data.train.rows.tolist() == [0, 2, 4, 5]
    assert "2 training images have no label and are left out." in data.notes


def test_nothing_to_tell_apart(tmp_path, read):
    folder = make_imagefolder(tmp_path / "d", {"train": {"a": 3}, "test": {"a": 1}})
    with pytest.raises(UsageError, match="only the class a"):
        read(folder)


def test_a_long_tail_that_leaves_a_class_nothing(tmp_path, read):
    folder = make_imagefolder(
        tmp_path / "d", {"train": {"a": 15, "b": 13, "c": 3}, "test": {"a": 1, "c": 1}}
    )
    with pytest.raises(
        UsageError, match=r"data\.long_tail \(100\) leaves no image of c \(3\)"
    ) as e:
        read(folder, long_tail=100)
    assert "data.long_tail.imbalance_factor" in e.value.hint


def test_bad_images(tmp_path, read):
    folder = make_imagefolder(
        tmp_path / "d", {"train": {"a": 15, "b": 3}, "test": {"a": 2, "b": 1}}
    )
    for number in range(11):
        (folder / f"train/a/{number}.png").write_bytes(b"no image")
    (folder / "test/b/0.png").write_bytes(image_bytes(3)[:200])
    with pytest.raises(RunError) as caught:
        read(folder)
    lines = caught.value.message.splitlines()
    assert lines[0] == "12 images can't be used:" and len(lines) == 12
    assert "train/a/0.png: not an image" in lines[1] and lines[-1] == "  and 2 more"
    assert "data.on_bad_image: skip" in caught.value.hint
    for storage in ("memory", "stream"):
        data = read(folder, on_bad_image="skip", storage=storage)
        assert real_counts(data) == [4, 3] and data.test.labels.tolist() == [0, 0]
        assert len(data.skipped) == 12 and data.skipped[-1].role == "test"
        assert data.skipped[0].where == "train/a/0.png" and "not an image" in data.skipped[0].reason
        if storage == "memory":
            assert torch.equal(pixels_of(data.train)[0], image_of(11))
    for number in range(2):
        (folder / f"test/a/{number}.png").write_bytes(b"")
    with pytest.raises(RunError, match="None of the test images"):
        read(folder, on_bad_image="skip")


def test_labels_come_before_images(tmp_path, read):
    folder = make_imagefolder(tmp_path / "d", {"train": {"a": 2, "b": 2}, "test": {"c": 2}})
    (folder / "train/a/0.png").write_bytes(b"no image")
    with pytest.raises(UsageError, match="no training image has: 'c'"):
        read(folder)


def test_test_images_in_train_are_told(tmp_path, read):
    write(tmp_path / "d/train.parquet", {"a": 3, "b": 3})
    write(tmp_path / "d/test.parquet", {"a": 2, "b": 2}, first_seed=4)
    told = Told()
    read(tmp_path / "d", reporter=told)
    assert len(told.warnings) == 1 and "2 of 4 test images" in told.warnings[0]


@pytest.mark.parametrize(
    ("sizes", "wanted", "note"),
    [([(20, 12), (20, 12)], 12, None), ([(20, 20), (12, 12)], 224, "differ in size"),
     ([(80, 80), (80, 80)], 224, "are large")],
)  # fmt: skip
def test_image_size(tmp_path, read, sizes, wanted, note):
    for split in ("train", "test"):
        for name, size in zip("ab", sizes, strict=True):
            folder = tmp_path / "d" / split / name
            folder.mkdir(parents=True)
            (folder / "0.png").write_bytes(image_bytes(ord(name) + len(split), size))
    data = read(tmp_path / "d")
    assert data.image_size == wanted
    side = wanted if wanted <= 64 else 256
    assert pixels_of(data.test).shape == (2, 3, side, side)
    assert [note in text for text in data.notes] == ([True] if note else [])


def test_one_stray_image_does_not_decide_the_size(tmp_path, read):
    folder = make_parquet(tmp_path / "d", {"train": {"a": 20, "b": 20}, "test": {"a": 1, "b": 1}})
    side = read(folder).image_size
    stray = image_bytes(3, (side * 4, side * 4), "JPEG")
    path = next(path for path in sorted(folder.rglob("*.parquet")) if "train" in path.name)
    table = pq.read_table(path)
    images = table["image"].to_pylist()
    images[5] = images[5] | {"bytes": stray}
    table = table.set_column(
        table.column_names.index("image"), "image", pa.array(images, table["image"].type)
    )
    pq.write_table(table, path)
    data = read(folder)
    assert data.image_size == side
    assert any("1 of the first 40 images have another size" in note for note in data.notes)
    # A damaged one of another size is left out, and changes nothing.
    images[5] = images[5] | {"bytes": stray[: len(stray) // 2]}
    table = table.set_column(
        table.column_names.index("image"), "image", pa.array(images, table["image"].type)
    )
    pq.write_table(table, path)
    assert read(folder, on_bad_image="skip").image_size == side


def test_the_same_images_by_another_name_are_no_test(animals, tmp_path, read):
    (tmp_path / "link").symlink_to(animals)
    for other in (str(animals) + "/.", str(tmp_path / "link")):
        with pytest.raises(UsageError, match="the same split 'train'"):
            read(animals, test={"source": other, "split": "train"})


def test_digests(animals, tmp_path, read):
    first = read(animals).digests
    assert read(animals, storage="stream").digests == first
    renamed = {"train": {"cow": 3, "ant": 2, "bee": 4}, "test": {"cow": 2, "ant": 1, "bee": 1}}
    for other in (
        read(make_parquet(tmp_path / "renamed", renamed)),
        read(make_parquet(tmp_path / "jpeg", SPLITS, format="JPEG")),
    ):
        assert all(other.digests[kind] != first[kind] for kind in ("real", "test"))
    held_out = read(animals, validation=0.5).digests
    assert held_out["real"] != first["real"] and held_out["test"] == first["test"]
    assert "validation" in held_out and "validation" not in first


def test_the_digest_of_the_real_images_knows_nothing_of_the_synthetic_ones(animals, tmp_path, read):
    made = {"eel": 1, "ant": 2, "cat": 2}
    folder = write(tmp_path / "made/train.parquet", made, [True] * 5)
    alone, both = read(animals).digests, read(animals, synthetic=str(folder)).digests
    assert (alone["real"], alone["test"]) == (both["real"], both["test"])
    assert alone["synthetic"] != both["synthetic"]
