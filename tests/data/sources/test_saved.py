import numpy as np
import pytest
from datasets_fixtures import image_bytes, make_saved

from synfill.data.labels import read_label_table
from synfill.data.source import open_source
from synfill.errors import RunError


def test_a_dataset(tmp_path):
    source = open_source(str(make_saved(tmp_path / "x", {"a": 3, "b": 2})))
    assert source.splits == ("train",)
    assert source.columns[1].class_names == ("a", "b")
    assert read_label_table(source, "train", "label").label.codes.tolist() == [0, 0, 0, 1, 1]
    ((rows, batch),) = source.iter_rows("train", np.array([1, 4]))
    assert rows.tolist() == [1, 4]
    assert batch.to_pylist() == [
        {"image": {"bytes": image_bytes(1), "path": "a-1"}, "label": 0},
        {"image": {"bytes": image_bytes(4), "path": "b-4"}, "label": 1},
    ]
    assert source.describe_row("train", 4) == "train row 4 (b-4)"


def test_a_dataset_dict(tmp_path):
    counts = {"test": {"a": 1}, "train": {"a": 2}}
    source = open_source(str(make_saved(tmp_path / "x", counts)))
    assert source.splits == ("train", "test")
    assert [source.count(split) for split in source.splits] == [2, 1]


def test_indices_of_a_shuffled_dataset_are_kept(tmp_path):
    import datasets

    path = make_saved(tmp_path / "x", {"a": 2, "b": 2})
    datasets.load_from_disk(path).select([3, 0]).save_to_disk(tmp_path / "y")
    source = open_source(str(tmp_path / "y"))
    assert source.read_column("train", "label").to_pylist() == [1, 0]
    ((_, batch),) = source.iter_rows("train")
    assert batch.column("image").field("path").to_pylist() == ["b-3", "a-0"]


def test_damaged_folders(tmp_path):
    path = make_saved(tmp_path / "x", {"a": 1})
    (arrow,) = path.glob("*.arrow")
    arrow.write_bytes(arrow.read_bytes()[:100])
    with pytest.raises(RunError, match="can't be read as a saved dataset"):
        open_source(str(path))
    arrow.unlink()
    with pytest.raises(RunError, match="can't be read as a saved dataset"):
        open_source(str(path))
    (path / "state.json").write_text("{")
    with pytest.raises(RunError, match="can't be read as a saved dataset"):
        open_source(str(path))


def test_no_rows(tmp_path):
    """`datasets` itself can't read such a folder."""
    with pytest.raises(RunError, match="can't be read as a saved dataset"):
        open_source(str(make_saved(tmp_path / "x", {"a": 0})))


def test_splits_of_different_columns(tmp_path):
    path = make_saved(tmp_path / "x", {"train": {"a": 1}, "test": {"b": 1}})
    with pytest.raises(RunError, match="different columns"):
        open_source(str(path))
