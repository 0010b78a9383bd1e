import numpy as np
import pytest
from datasets_fixtures import image_bytes, make_imagefolder, make_metadata_folder

from synfill.data.labels import choose_label, read_label_table
from synfill.data.source import open_source
from synfill.errors import UsageError


def counts(source, split="train", groups=()):
    table = read_label_table(source, split, choose_label(source, None, groups), groups)
    return dict(zip(table.label.names, table.label.counts().tolist(), strict=True))


def paths(source, split="train"):
    return [source.describe_row(split, row) for row in range(source.count(split))]


def test_class_folders(tmp_path):
    source = open_source(str(make_imagefolder(tmp_path / "pets", {"dog": 2, "cat": 11})))
    assert source.splits == ("train",)
    assert [(c.name, c.kind) for c in source.columns] == [("image", "image"), ("label", "class")]
    assert counts(source) == {"cat": 11, "dog": 2}
    assert paths(source)[:4] == ["cat/0.png", "cat/1.png", "cat/2.png", "cat/3.png"]
    assert paths(source)[9:11] == ["cat/9.png", "cat/10.png"]
    assert source.origin.name == "pets"
    assert source.notes == ()


def test_a_hidden_folder_with_images_is_noted(tmp_path):
    folder = make_imagefolder(tmp_path / "d", {"train": {"a": 1, "..b": 2}})
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_text("x")
    source = open_source(str(folder))
    assert source.count("train") == 1
    assert source.notes[0] == "The hidden folder train/..b is left out, with its images."


def test_splits_share_their_classes(tmp_path):
    root = make_imagefolder(tmp_path, {"Train": {"a": 2}, "val": {"b": 1}, "test": {"a": 1}})
    source = open_source(str(root))
    assert source.splits == ("train", "validation", "test")
    assert counts(source) == {"a": 2, "b": 0}
    assert counts(source, "validation") == {"a": 0, "b": 1}


def test_images_beside_split_folders_are_noted(tmp_path):
    make_imagefolder(tmp_path, {"train": {"a": 2}, "extra": {"x": 3}})
    (tmp_path / "plot.png").write_bytes(image_bytes(0))
    source = open_source(str(tmp_path))
    assert source.splits == ("train",)
    assert any("3 images in the folder extra" in note for note in source.notes)
    assert any("1 image in no folder" in note for note in source.notes)


def test_train_may_be_a_class(tmp_path):
    source = open_source(str(make_imagefolder(tmp_path, {"bus": 1, "car": 2, "train": 3})))
    assert counts(source) == {"bus": 1, "car": 2, "train": 3}


def test_deeper_images_count_to_the_first_folder(tmp_path):
    make_imagefolder(tmp_path, {"cat": 1})
    make_imagefolder(tmp_path / "cat", {"black": 2})
    assert counts(open_source(str(tmp_path))) == {"cat": 3}


def test_images_in_no_class_folder_have_no_label(tmp_path):
    make_imagefolder(tmp_path, {"cat": 2})
    (tmp_path / "stray.PNG").write_bytes(image_bytes(9))
    source = open_source(str(tmp_path))
    table = read_label_table(source, "train", "label")
    assert table.label.missing == 1
    assert source.read_column("train", "label").null_count == 1


def test_only_images_count(tmp_path):
    make_imagefolder(tmp_path, {"cat": 2})
    (tmp_path / "cat" / "notes.txt").write_text("x")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "a.xml").write_text("x")
    source = open_source(str(tmp_path))
    assert counts(source) == {"cat": 2}
    assert any("annotations" in note for note in source.notes)


def test_flat_folder_has_no_classes(tmp_path):
    (tmp_path / "1.png").write_bytes(image_bytes(1))
    source = open_source(str(tmp_path))
    assert choose_label(source, None) is None
    assert source.count("train") == 1


def test_class_names_of_any_kind(tmp_path):
    names = ["naïve café", "日本", "a..b", "-x", "100%"]
    source = open_source(str(make_imagefolder(tmp_path, dict.fromkeys(names, 1))))
    assert counts(source) == dict.fromkeys(sorted(names), 1)


def test_rows_carry_the_files_own_bytes(tmp_path):
    make_imagefolder(tmp_path, {"a": 3, "b": 3})
    source = open_source(str(tmp_path))
    batches = list(source.iter_rows("train", np.array([1, 2, 5]), batch_rows=2))
    assert [rows.tolist() for rows, _ in batches] == [[1, 2], [5]]
    row = batches[1][1].to_pylist()[0]
    expected = (tmp_path / "b" / "2.png").read_bytes()
    assert row == {"image": {"bytes": expected, "path": "b/2.png"}, "label": 1}
    assert list(source.iter_rows("train", np.array([], dtype=np.int64))) == []


def test_a_file_that_vanished_has_no_bytes(tmp_path):
    make_imagefolder(tmp_path, {"a": 2})
    source = open_source(str(tmp_path))
    (tmp_path / "a" / "1.png").unlink()
    (_, batch), = source.iter_rows("train")  # fmt: skip
    assert batch.column("image").field("bytes").is_null().to_pylist() == [False, True]


@pytest.mark.parametrize("make", [lambda p: None, lambda p: (p / "a.txt").write_text("x")])
def test_nothing_to_read(tmp_path, make):
    make(tmp_path)
    with pytest.raises(UsageError, match=r"is empty|holds no images"):
        open_source(str(tmp_path))


def test_metadata_columns(tmp_path):
    rows = [
        {"file_name": "x/10.png", "label": "dog", "age": "3", "tame": "True"},
        {"file_name": "x/9.png", "label": "cat", "age": "", "tame": "False"},
    ]
    source = open_source(str(make_metadata_folder(tmp_path, rows)))
    kinds = [(c.name, c.kind) for c in source.columns]
    assert kinds == [("image", "image"), ("label", "string"), ("age", "int"), ("tame", "bool")]
    assert paths(source) == ["x/9.png", "x/10.png"]
    assert source.read_column("train", "age").to_pylist() == [None, 3]
    assert counts(source) == {"cat": 1, "dog": 1}


def test_folders_are_the_label_where_the_metadata_has_none(tmp_path):
    rows = [{"file_name": f"{c}/{i}.png", "light": "day"} for c in "ab" for i in range(2)]
    source = open_source(str(make_metadata_folder(tmp_path, rows)))
    assert [c.name for c in source.columns] == ["image", "label", "light"]
    assert counts(source) == {"a": 2, "b": 2}


def test_metadata_and_files_that_do_not_match(tmp_path):
    rows = [{"file_name": "1.png", "label": "x"}, {"file_name": "2.png", "label": "y"}]
    make_metadata_folder(tmp_path, rows)
    (tmp_path / "2.png").rename(tmp_path / "3.png")
    source = open_source(str(tmp_path))
    assert paths(source) == ["1.png", "3.png", "2.png"]
    assert source.read_column("train", "label").to_pylist() == ["x", None, "y"]
    assert any("1 image is not in the metadata" in note for note in source.notes)
    (_, batch), = source.iter_rows("train")  # fmt: skip
    assert batch.column("image").field("bytes").is_null().to_pylist() == [False, False, True]


def test_metadata_in_every_split(tmp_path):
    for split, label in [("train", "1"), ("test", "2")]:
        make_metadata_folder(tmp_path / split, [{"file_name": "a.png", "label": label}])
    source = open_source(str(tmp_path))
    assert source.splits == ("train", "test")
    assert counts(source) == {"1": 1, "2": 0}
    assert paths(source, "test") == ["test/a.png"]


def test_waterbirds_layout(tmp_path):
    places = ["/b/bamboo_forest/1.jpg", "/o/ocean/2.jpg"]
    rows = [
        {
            "img_id": i,
            "img_filename": f"00{1 + i % 2}.Bird/{i}.png",
            "y": i % 2,
            "split": i % 3,
            "place": i // 3,
            "place_filename": places[i % 2],
        }
        for i in range(6)
    ]
    source = open_source(str(make_metadata_folder(tmp_path, rows, file_column="img_filename")))
    assert source.splits == ("train", "validation", "test")
    assert [c.name for c in source.columns] == ["image", "img_id", "y", "place", "place_filename"]
    assert choose_label(source, None, ["place"]) == "y"
    table = read_label_table(source, "train", "y", ["place"])
    assert table.label.counts().tolist() == [1, 1]
    assert table.groups[0].values == (0, 1)


def test_a_split_column_with_other_values_is_a_column(tmp_path):
    rows = [{"file_name": f"{i}.png", "split": f"fold{i}"} for i in range(3)]
    source = open_source(str(make_metadata_folder(tmp_path, rows)))
    assert source.splits == ("train",)
    assert [c.name for c in source.columns] == ["image", "split"]


def test_loads_no_heavy_libraries(tmp_path):
    import subprocess
    import sys

    make_imagefolder(tmp_path, {"a": 1})
    code = (
        "import sys\n"
        "from synfill.data.labels import choose_label, read_label_table\n"
        "from synfill.data.source import open_source\n"
        "source = open_source(sys.argv[1])\n"
        "read_label_table(source, 'train', choose_label(source, None))\n"
        "print([m for m in ('torch', 'datasets', 'pandas', 'PIL') if m in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_links_in_a_folder_are_its_owners_and_lead_anywhere(tmp_path):
    """People keep images in one place and link to them from many; only files are read."""
    root = make_imagefolder(tmp_path / "pets", {"dog": 1})
    (tmp_path / "store").mkdir()
    for number in range(2):
        (tmp_path / "store" / f"{number}.png").write_bytes(image_bytes(10 + number))
    (root / "dog" / "linked.png").symlink_to("../../store/0.png")
    (root / "cat").symlink_to("../store")
    (root / "dog" / "zero.png").symlink_to("/dev/zero")
    source = open_source(str(root))
    ((_, batch),) = source.iter_rows("train")
    found = [(i["path"], i["bytes"]) for i in batch.column("image").to_pylist()]
    assert found == [
        ("cat/0.png", image_bytes(10)),
        ("cat/1.png", image_bytes(11)),
        ("dog/0.png", image_bytes(0)),
        ("dog/linked.png", image_bytes(10)),
        ("dog/zero.png", None),
    ]
