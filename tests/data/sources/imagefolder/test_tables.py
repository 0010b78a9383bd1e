"""Tables of labels beside images: which are taken, and which image each row is about."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets_fixtures import make_files, write_csv

from synfill.data.labels import choose_label, read_label_tables
from synfill.data.source import open_source
from synfill.data.sources.imagefolder import tables
from synfill.errors import RunError, SynfillError, UsageError
from synfill.records import FolderOptions

NAMES = [f"{k}.png" for k in range(6)]
LABELS = ["cat", "dog", "cat", "cat", "dog", "cat"]
ROWS = list(zip(NAMES, LABELS, strict=True))
COUNTS = {"cat": 4, "dog": 2}


@pytest.fixture
def root(tmp_path):
    return make_files(tmp_path / "d", [f"images/{name}" for name in NAMES])


def opened(path, **options):
    return open_source(str(path), folder=FolderOptions(**options))


def read(path, label=None, **options):
    source = opened(path, **options)
    column = choose_label(source, label)
    if column is None:
        return {split: source.count(split) for split in source.splits}
    found = {}
    for split, table in read_label_tables(source, source.splits, column).items():
        counts = zip(table.label.names, table.label.counts().tolist(), strict=True)
        found[split] = {name: count for name, count in counts if count}
        if table.label.missing:
            found[split][None] = table.label.missing
    return found


def notes(path, **options):
    return " ".join(opened(path, **options).notes)


def labels_of(source, split="train"):
    column = source.read_column(split, choose_label(source, None)).to_pylist()
    return {source.describe_row(split, row): value for row, value in enumerate(column)}


@pytest.mark.parametrize(
    "name", ["{}", "images/{}", "./{}", "./images/{}", "images\\{}", "elsewhere/{}"]
)
@pytest.mark.parametrize("ending", [".png", ""])
def test_file_names_with_and_without_folder_and_extension(root, name, ending):
    rows = [(name.format(f"{k}{ending}"), label) for k, label in enumerate(LABELS)]
    write_csv(root / "labels.csv", ["id", "breed"], rows)
    source = opened(root)
    assert labels_of(source) == {f"images/{k}": label for k, label in ROWS}
    assert [c.name for c in source.columns] == ["image", "breed"]
    assert source.notes == ("Labels come from labels.csv, files from its column 'id'.",)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("lineterminator", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_ways_to_write_a_csv(root, delimiter, lineterminator, mark):
    path = root / "labels.csv"
    write_csv(path, ["file", "label"], ROWS, delimiter=delimiter, lineterminator=lineterminator)
    path.write_bytes(mark.encode() + path.read_bytes())
    assert read(root) == {"train": COUNTS}
    # Without a header.
    body = path.read_bytes().partition(lineterminator.encode())[2]
    path.write_bytes(mark.encode() + body)
    assert read(root) == {"train": COUNTS}


def test_quoted_fields(root):
    lines = [f'"{name}",{label},"a, ""b""\nc"\n' for name, label in ROWS]
    text = 'file,"a ""label""",text\n' + "".join(lines)
    (root / "labels.csv").write_text(text)
    source = opened(root)
    assert [c.name for c in source.columns] == ["image", 'a "label"', "text"]
    assert source.read_column("train", "text")[0].as_py() == 'a, "b"\nc'


def test_other_kinds_of_tables(root):
    lines = [json.dumps({"img": name, "y": label}) for name, label in ROWS]
    (root / "labels.jsonl").write_text("\n".join(lines))
    assert read(root) == {"train": COUNTS}
    (root / "labels.jsonl").unlink()
    write_csv(root / "labels.tsv", ["file", "label"], ROWS, delimiter="\t")
    assert read(root) == {"train": COUNTS}
    (root / "labels.tsv").unlink()
    table = pa.table({"id": list(range(6)), "label": LABELS})
    pq.write_table(table, root / "labels.parquet")
    assert read(root) == {"train": COUNTS}
    assert read(root / "labels.parquet") == {"train": COUNTS}


def test_a_table_lies_above_beside_or_in_a_folder_of_its_own(tmp_path):
    for number, (image, table) in enumerate(
        [("{}", "l.csv"), ("a/images/{}", "l.csv"), ("a/images/{}", "a/l.csv"),
         ("a/images/{}", "a/images/l.csv"), ("images/{}", "annotations/l.csv")]
    ):  # fmt: skip
        root = make_files(tmp_path / str(number), [image.format(name) for name in NAMES])
        write_csv(root / table, ["file", "label"], ROWS)
        assert read(root) == {"train": COUNTS}, table


def test_kaggle_with_a_train_table_alone(tmp_path):
    root = make_files(tmp_path, [*(f"train/{n}" for n in NAMES), *(f"test/{n}" for n in NAMES[:4])])
    write_csv(root / "train.csv", ["id", "label"], [(n[:-4], label) for n, label in ROWS])
    write_csv(root / "sample_submission.csv", ["id", "label"], [(k, "cat") for k in range(4)])
    assert read(root) == {"train": COUNTS, "test": {None: 4}}
    assert "4 images of the split test are in no table: no class." in notes(root)


def test_tables_named_after_splits(root):
    write_csv(root / "train.csv", ["id", "diagnosis"], [(0, 1), (1, 0), (2, 0)])
    write_csv(root / "val.csv", ["id", "diagnosis"], [(3, 1)])
    write_csv(root / "test.csv", ["id"], [(4,), (5,)])
    assert read(root) == {
        "train": {"0": 2, "1": 1}, "validation": {"1": 1}, "test": {None: 2},
    }  # fmt: skip
    assert "test.csv has no column diagnosis: null there." in notes(root)


def test_a_column_of_splits(root):
    rows = [(*row, ("train", "valid", "test")[k % 3]) for k, row in enumerate(ROWS)]
    write_csv(root / "labels.csv", ["file", "label", "data set"], rows)
    assert opened(root).splits == ("train", "validation", "test")


def one_hot(path, rows, names=("MEL", "NV", "BCC", "UNK")):
    write_csv(path, ["image", *names], [(f"{k}", *row) for k, row in enumerate(rows)])


def test_a_one_hot_table(root):
    one_hot(root / "truth.csv", [[f"{float(j == k % 2)}" for j in range(4)] for k in range(6)])
    source = opened(root)
    assert source.columns[1].class_names == ("MEL", "NV", "BCC", "UNK")
    assert read(root) == {"train": {"MEL": 3, "NV": 3}}
    assert "The classes are the columns with a one: MEL, NV, BCC, UNK." in source.notes


@pytest.mark.parametrize("row", [[1, 1], [0, 0]])
def test_several_classes_an_image_are_no_class_column(root, row):
    one_hot(root / "truth.csv", [[1, 0]] * 5 + [row], ("a", "b"))
    assert "1 rows have no one, or several, in a, b" in notes(root)
    with pytest.raises(UsageError, match=r"could be the class: a \(int\), b \(int\)"):
        read(root)
    assert read(root, "a")["train"]["1"] == 5 + row[0]


def test_ones_beside_a_class_are_no_classes(root):
    rows = [(n, label, k % 2, 1 - k % 2) for k, (n, label) in enumerate(ROWS)]
    write_csv(root / "labels.csv", ["file", "species", "male", "female"], rows)
    assert "columns with a one" not in notes(root)
    assert read(root, "species") == {"train": COUNTS}


def test_attributes_of_minus_one_and_one(tmp_path):
    root = make_files(tmp_path, [f"img_align_celeba/{n}" for n in NAMES])
    rows = [(n, (-1, 1)[k % 2], (1, -1)[k // 4]) for k, n in enumerate(NAMES)]
    write_csv(root / "list_attr_celeba.csv", ["image_id", "Smiling", "Male"], rows)
    assert read(root, "Smiling") == {"train": {"False": 3, "True": 3}}


def test_folders_of_parts_beside_a_table_are_no_classes(tmp_path):
    names = [f"HAM10000_images_part_{1 + k % 2}/ISIC_{k}.jpg" for k in range(6)]
    root = make_files(tmp_path, names)
    rows = [(k // 2, f"ISIC_{k}", ("nv", "mel")[k // 4], "m") for k in range(6)]
    write_csv(root / "HAM10000_metadata.csv", ["lesion_id", "image_id", "dx", "sex"], rows)
    assert read(root, "dx") == {"train": {"nv": 4, "mel": 2}}


def test_numbered_folders_and_a_table_that_says_otherwise(tmp_path):
    root = make_files(tmp_path, [f"{k % 2}/{n}" for k, n in enumerate(NAMES)])
    write_csv(root / "labels.csv", ["file", "label"], ROWS)
    with pytest.raises(UsageError, match=r"its folders \(0, 1\), or a column .*\(label\)"):
        read(root)
    assert read(root, layout="class") == {"train": {"0": 3, "1": 3}}
    assert read(root / "labels.csv") == {"train": COUNTS}
    # One that says the same changes nothing.
    write_csv(root / "labels.csv", ["file", "label"], [(n, k % 2) for k, n in enumerate(NAMES)])
    assert opened(root).columns[1].class_names == ("0", "1")


def test_class_folders_come_first_and_the_table_as_source_second(tmp_path):
    root = make_files(tmp_path, ["cat/1.png", "dog/2.png"])
    write_csv(root / "birds.csv", ["file", "label"], [("cat/1.png", "x"), ("dog/2.png", "y")])
    assert read(root) == {"train": {"cat": 1, "dog": 1}}
    assert "birds.csv is not read: the folders name the classes." in notes(root)
    assert read(root / "birds.csv") == {"train": {"x": 1, "y": 1}}


def test_folders_that_could_be_classes_in_two_ways_beside_a_table(tmp_path):
    root = make_files(tmp_path, ["a/x/1.png", "a/y/2.png", "b/z/3.png"])
    with pytest.raises(UsageError, match="in 2 ways"):
        read(root)
    write_csv(root / "labels.csv", ["file", "label"], [(1, "p"), (2, "q"), (3, "p")])
    assert read(root) == {"train": {"p": 2, "q": 1}}


def test_a_table_as_source_is_the_whole_dataset(root):
    write_csv(root / "some.csv", ["file", "label"], ROWS[:3])
    assert read(root / "some.csv") == {"train": {"cat": 2, "dog": 1}}
    assert "3 images beside those that the table names are left out." in notes(root / "some.csv")
    assert opened(root / "some.csv").origin.name == "some"


def test_metadata_as_source_is_its_folder(root):
    write_csv(root / "images" / "metadata.csv", ["file_name", "label"], ROWS)
    assert labels_of(opened(root / "images/metadata.csv")) == dict(ROWS)


def test_metadata_that_names_files_as_other_tables_do(root):
    write_csv(root / "metadata.csv", ["id", "label"], [(n[:-4], label) for n, label in ROWS])
    assert read(root) == {"train": COUNTS}


def test_the_images_may_lie_elsewhere(root, tmp_path, monkeypatch):
    table = tmp_path / "csv" / "labels.csv"
    write_csv(table, ["file", "label"], ROWS)
    with pytest.raises(UsageError, match="no images in") as caught:
        read(table)
    assert "--image-root" in caught.value.hint
    assert read(table, image_root=str(root / "images")) == {"train": COUNTS}
    assert read(table.parent, image_root=str(root)) == {"train": COUNTS}
    assert read(table, image_root="../d/images") == {"train": COUNTS}
    monkeypatch.chdir(tmp_path)
    assert read("csv/labels.csv", image_root="d") == {"train": COUNTS}
    with pytest.raises(UsageError, match="no folder 'gone'"):
        read(table, image_root="gone")


def test_the_file_column_may_be_named(root):
    rows = [(n, f"{5 - k}.png", label) for k, (n, label) in enumerate(ROWS)]
    write_csv(root / "labels.csv", ["file", "mirrored", "label"], rows)
    assert labels_of(opened(root, file_column="mirrored"))["images/5.png"] == "cat"
    with pytest.raises(UsageError, match=r"no column 'nope'.*file, mirrored, label"):
        read(root, file_column="nope")
    with pytest.raises(RunError, match=r"6 of the 6 rows of labels\.csv name no image"):
        read(root, file_column="label")


def test_options_that_mean_nothing(root, tmp_path):
    pq.write_table(pa.table({"image": [b"x"], "label": [1]}), tmp_path / "x.parquet")
    (tmp_path / "p").mkdir()
    pq.write_table(pa.table({"image": [b"x"], "label": [1]}), tmp_path / "p" / "x.parquet")
    for spec in ("demo", "owner/name", tmp_path / "p"):
        with pytest.raises(UsageError, match="so --layout means nothing"):
            read(spec, layout="class")
    with pytest.raises(UsageError, match="--file-column label means nothing"):
        read(root, file_column="label")


def test_rows_without_a_file_are_counted_and_most_is_an_error(root):
    write_csv(root / "labels.csv", ["file", "label"], [*ROWS, ("7.png", "cat")])
    assert read(root) == {"train": COUNTS}
    assert "1 row of labels.csv names no image that is there, such as '7.png'" in notes(root)
    for name in NAMES[:4]:
        (root / "images" / name).unlink()
    for path in (root, root / "labels.csv"):
        with pytest.raises(RunError, match=r"5 of the 7 rows of labels\.csv name no image"):
            read(path)


@pytest.mark.parametrize(
    "evil",
    ["../../secret.png", "/etc/passwd", "C:\\x.png", "a\0b", "..", ".", "images/../../x.png"],
)
def test_names_that_leave_the_folder_are_no_files(root, evil):
    make_files(root.parent, ["secret.png", "x.png"])
    write_csv(root / "labels.csv", ["file", "label"], [*ROWS, (evil, "stolen")])
    source = opened(root)
    assert "stolen" not in labels_of(source).values()
    assert "1 row of labels.csv names no image that is there" in " ".join(source.notes)


def test_an_image_named_twice(root):
    write_csv(root / "labels.csv", ["file", "label"], [*ROWS, ("images/1.png", "cat")])
    for path in (root, root / "labels.csv"):
        with pytest.raises(RunError, match=r"names images/1\.png twice, in rows 2 and 7"):
            read(path)


def test_names_that_several_files_have(tmp_path):
    root = make_files(tmp_path, ["train/1.png", "test/1.png", "train/2.png"])
    write_csv(root / "labels.csv", ["file", "label"], [("2.png", "x"), ("1.png", "y")])
    with pytest.raises(RunError, match=r"'1.png' in row 2 could be test/1.png, train/1.png"):
        read(root / "labels.csv")
    # A table that tells its split means the file of that split.
    (root / "labels.csv").rename(root / "train.csv")
    assert labels_of(opened(root)) == {"train/1.png": "y", "train/2.png": "x"}


def test_two_tables_about_the_same_images(root):
    for name in ("a.csv", "b.csv"):
        write_csv(root / name, ["file", "label"], ROWS)
    with pytest.raises(UsageError, match=r"a\.csv \(file, label\) and b\.csv \(file, label\)"):
        read(root)
    assert read(root / "b.csv") == {"train": COUNTS}


def test_tables_about_something_else_are_named(root):
    (root / "info.csv").write_text("a,b\nx,2.5\n")
    (root / "bad.csv").write_bytes(b"a,b\n1\n")
    write_csv(root / "corrupt.csv", ["file", "reason"], [("1.png", "dark")])
    assert read(root) == {"train": 6}
    told = notes(root)
    assert "info.csv has no column that names images here: passed over." in told
    assert "bad.csv can't be read" in told
    assert "corrupt.csv names 1 of the images alone: passed over." in told


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "Empty CSV"),
        ("file,label\n0.png,x\n".encode("utf-16"), "UTF-16"),
        (b"file,label\n0.png,\xff\n", "can't be read"),
        (b"file,label,label\n0.png,x,y\n", "two columns of the same name"),
        (b"file,label\n", "no column that names images"),
    ],
)
def test_damaged_tables(root, content, message):
    (root / "labels.csv").write_bytes(content)
    with pytest.raises(SynfillError, match=message):
        read(root / "labels.csv")


def test_deeply_nested_lines_end_no_process(root):
    (root / "labels.jsonl").write_text('{"a": ' + "[" * 100_000)
    with pytest.raises(RunError, match="nested more than 100 deep"):
        read(root / "labels.jsonl")


def test_a_pipe_is_no_table(root):
    import os

    if not hasattr(os, "mkfifo"):
        pytest.skip("no pipes here")
    os.mkfifo(root / "labels.csv")
    with pytest.raises(RunError, match="a pipe"):
        read(root / "labels.csv")
    assert read(root) == {"train": 6}


def test_a_column_called_image_beside_the_files(root):
    rows = [(n, 100 + k, label) for k, (n, label) in enumerate(ROWS)]
    write_csv(root / "labels.csv", ["path", "image", "label"], rows)
    assert [c.name for c in opened(root).columns] == ["image", "image_name", "label"]


def test_where_there_is_no_table_the_images_are_not_looked_through_for_it(tmp_path, monkeypatch):
    root = make_files(tmp_path / "d", [f"class_{k % 2}/{k}.png" for k in range(6)])

    def never(*arguments):
        raise AssertionError("that takes seconds with a million images")

    monkeypatch.setattr(tables, "FileNames", never)
    monkeypatch.setattr(tables, "natural_key", never)
    assert read(root) == {"train": {"class_0": 3, "class_1": 3}}


@pytest.mark.parametrize("top", ["/home/bob/pets/", "C:\\Users\\bob\\pets\\"])
def test_whole_paths_of_another_machine(root, top):
    far = [(f"{top}{name}", label) for name, label in ROWS]
    write_csv(root / "labels.csv", ["file", "label"], far)
    assert sorted(labels_of(opened(root)).values()) == sorted(LABELS)


def test_a_table_about_folders_is_told_for_what_it_is(tmp_path):
    root = make_files(tmp_path, ["P1/a.png", "P1/b.png", "P2/a.png"])
    write_csv(root / "labels.csv", ["patient", "dx"], [("P1", "ill"), ("P2", "well")])
    assert "labels.csv has a row for each folder (column 'patient')" in notes(root)


def test_folders_named_after_their_content_are_told(tmp_path):
    make_files(tmp_path / "seg", ["images/1.png", "masks/1.png"])
    assert "classes: images, masks" in notes(tmp_path / "seg")
    make_files(tmp_path / "x", ["a/b/1.png"])
    write_csv(tmp_path / "x" / "labels.csv", ["file", "dx"], [("1.png", "ill")])
    assert "Read as" not in notes(tmp_path / "x")
