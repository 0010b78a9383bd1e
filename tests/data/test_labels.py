import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets_fixtures import image_bytes, make_parquet, make_table

from synfill.data.labels import choose_label, choose_split, read_label_table, read_label_tables
from synfill.data.source import open_source
from synfill.errors import RunError, UsageError


def source_of(folder, **splits):
    """A source whose splits have an image column and the columns that are given."""
    for split, columns in splits.items():
        rows = len(next(iter(columns.values())))
        images = pa.array([image_bytes(1)] * rows, pa.binary())
        pq.write_table(pa.table({"image": images, **columns}), folder / f"{split}.parquet")
    return open_source(str(folder))


def test_the_only_class_label_is_the_label(tmp_path):
    table = make_table({"a": 2, "b": 2}).append_column("y", pa.array([1, 2, 1, 2]))
    pq.write_table(table, tmp_path / "x.parquet")
    assert choose_label(open_source(str(tmp_path)), None) == "label"


@pytest.mark.parametrize(
    ("columns", "label"),
    [
        ({"target": [1, 1], "other": [2, 2]}, "target"),
        ({"Category": ["a", "a"], "other": [2, 2]}, "Category"),
        ({"species": ["a", "b"], "img_id": [1, 2], "width": [3, 3]}, "species"),
        ({"name": ["a", "a"], "kind": ["x", "x"]}, "kind"),
        ({"kind": ["x", "x"], "number": [1, 2]}, "kind"),
        ({"kind": ["x", "x"], "score": [0.5, 0.7]}, "kind"),
        ({"kind": [True, False]}, "kind"),
        ({"synthetic": [True, False], "prompt": ["a", "a"], "synfill_seed": [1, 1]}, None),
        ({"score": [0.5, 0.7]}, None),
    ],
)
def test_the_label_is_found(tmp_path, columns, label):
    assert choose_label(source_of(tmp_path, train=columns), None) == label


def test_groups_are_not_the_label(tmp_path):
    source = source_of(tmp_path, train={"kind": ["x", "x"], "light": ["d", "d"]})
    assert choose_label(source, None, ["light"]) == "kind"


def test_several_candidates_are_listed(tmp_path):
    source = source_of(tmp_path, train={"kind": ["x", "x"], "age": [1, 1]})
    with pytest.raises(UsageError, match=r"kind \(string\), age \(int\).*\n.*--label kind"):
        choose_label(source, None)
    assert choose_label(source, "age") == "age"


@pytest.mark.parametrize(
    ("label", "groups", "message"),
    [
        ("knd", [], "no column 'knd' to be a label.*\n.*Did you mean 'kind'"),
        ("score", [], "'score' can't be a label: it holds float64 values"),
        ("image", [], "it holds images"),
        ("tags", [], "it holds List values"),
        ("kind", ["kind"], "both the label and a group"),
        ("kind", ["age", "age"], "named twice"),
        ("kind", ["agee"], "no column 'agee' to be a group"),
        ("kind", ["score"], "can't be a group"),
    ],
)
def test_wrong_columns(tmp_path, label, groups, message):
    columns = {"kind": ["x"], "age": [1], "score": [0.5], "tags": [["a"]]}
    source = source_of(tmp_path, train=columns)
    with pytest.raises(UsageError, match=message):
        choose_label(source, label, groups)
    with pytest.raises(UsageError, match=message):
        read_label_table(source, "train", label, groups)


def test_splits_are_chosen(tmp_path):
    source = open_source(str(make_parquet(tmp_path, {"train": {"a": 1}, "test": {"a": 1}})))
    assert choose_split(source, None) == "train"
    assert choose_split(source, "test") == "test"
    with pytest.raises(UsageError, match="Did you mean 'test'"):
        choose_split(source, "tets")


def test_splits_without_train(tmp_path):
    source = open_source(str(make_parquet(tmp_path, {"test": {"a": 1}})))
    assert choose_split(source, None) == "test"
    source = open_source(str(make_parquet(tmp_path, {"test": {"a": 1}, "val": {"a": 1}})))
    with pytest.raises(UsageError, match="validation, test"):
        choose_split(source, None)


def test_class_labels_keep_their_order_and_missing_is_counted(tmp_path):
    table = make_table({"zebra": 2, "ant": 2, "none": 0})
    table = table.set_column(1, "label", pa.array([0, None, -1, 1]))
    pq.write_table(table, tmp_path / "x.parquet")
    found = read_label_table(open_source(str(tmp_path)), "train", "label")
    assert found.label.values == ("zebra", "ant", "none")
    assert found.label.codes.tolist() == [0, -1, -1, 1]
    assert found.label.codes.dtype == "int32"
    assert found.label.missing == 2
    assert found.rows.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("wrong", [2, -2])
def test_a_class_without_a_name(tmp_path, wrong):
    table = make_table({"a": 2, "b": 1}).set_column(1, "label", pa.array([0, wrong, 1]))
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(RunError, match=f"x.parquet row 1 .*is {wrong}, but 'label' names 2"):
        read_label_table(open_source(str(tmp_path)), "train", "label")


def test_values_are_shared_by_all_splits(tmp_path):
    source = source_of(
        tmp_path,
        train={"kind": ["10", "2", None, "2"], "n": [5, -1, 7, None]},
        test={"kind": ["b", "10", "10", "1"], "n": [-1, 7, 3, 5]},
    )
    tables = read_label_tables(source, ["train", "test"], "kind", ["n"])
    assert tables["train"].label.values == tables["test"].label.values == ("1", "2", "10", "b")
    assert tables["train"].label.codes.tolist() == [2, 1, -1, 1]
    assert tables["test"].label.codes.tolist() == [3, 2, 2, 0]
    (numbers,) = tables["train"].groups
    assert numbers.values == (3, 5, 7)
    assert numbers.codes.tolist() == [1, -1, 2, -1]
    assert tables["test"].groups[0].codes.tolist() == [-1, 2, 0, 1]


def test_booleans_and_small_integers(tmp_path):
    source = source_of(
        tmp_path,
        train={"smiles": [True, None, False], "n": pa.array([2, 1, None], pa.uint8())},
    )
    table = read_label_table(source, "train", "n", ["smiles"])
    assert table.label.values == (1, 2)
    assert table.label.codes.tolist() == [1, 0, -1]
    assert table.groups[0].values == (False, True)
    assert table.groups[0].codes.tolist() == [1, -1, 0]


def test_all_missing_and_no_label(tmp_path):
    source = source_of(tmp_path, train={"kind": pa.array([None, None], pa.string())})
    assert read_label_table(source, "train", "kind").label.values == ()
    assert read_label_table(source, "train", None).label is None
    assert len(read_label_table(source, "train", None)) == 2


def test_values_over_many_row_groups(tmp_path):
    make_parquet(tmp_path / "x.parquet", {"b": 5, "a": 5}, labels="string", row_group_size=2)
    table = read_label_table(open_source(str(tmp_path)), "train", "label")
    assert table.label.codes.tolist() == [1] * 5 + [0] * 5


def test_whole_numbers_with_a_null_saved_by_pandas(tmp_path):
    path = make_parquet(tmp_path / "p.parquet", {"a": 2, "b": 2})
    table = pq.read_table(path).replace_schema_metadata(None)
    values = pa.array([0.0, 1.0, None, float("nan")])
    pq.write_table(table.set_column(1, "label", values), path)
    source = open_source(str(path))
    assert choose_label(source, None) == "label"
    found = read_label_table(source, "train", "label").label
    assert found.values == (0, 1)
    assert found.codes.tolist() == [0, 1, -1, -1]
    pq.write_table(table.set_column(1, "label", pa.array([0.5, 1.0, 1.0, 2.0])), path)
    assert choose_label(open_source(str(path)), None) is None
    with pytest.raises(UsageError, match="float"):
        choose_label(open_source(str(path)), "label")


@pytest.mark.parametrize(
    "values",
    [
        pa.array([1.0, float("inf")]),
        pa.array([1.0, 1e300]),
        pa.array([1.0, 2.0**60]),
        pa.array([1.0, 1.5], pa.float16()),
        pa.array([1.0, float("inf")], pa.float16()),
    ],
)
def test_numbers_that_are_no_classes(tmp_path, values):
    source = source_of(tmp_path, train={"label": values})
    assert choose_label(source, None) is None
    with pytest.raises(UsageError, match="can't be a label"):
        choose_label(source, "label")


def test_half_floats_of_whole_numbers(tmp_path):
    values = pa.array([2.0, None, 1.0, float("nan")], pa.float16())
    table = read_label_table(source_of(tmp_path, train={"label": values}), "train", "label")
    assert (table.label.values, table.label.codes.tolist()) == ((1, 2), [1, -1, 0, -1])


def test_numbers_that_no_class_has(tmp_path):
    table = make_table({"a": 1, "b": 1}).drop_columns(["label"])
    table = table.append_column("label", pa.array([0, (1 << 64) - 1], pa.uint64()))
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(RunError, match=r"x\.parquet row 1 .* is 18446744073709551615"):
        read_label_table(open_source(str(tmp_path)), "train", "label")


@pytest.mark.parametrize("labels", ["label", "group"])
def test_text_that_isnt_utf_8(tmp_path, labels):
    text = pa.array([b"a", b"\xff"], pa.binary()).view(pa.string())
    source = source_of(tmp_path, train={"label": ["a", "b"]} | {labels: text})
    with pytest.raises(RunError, match=r"train\.parquet"):
        read_label_table(source, "train", "label", ("group",) if labels == "group" else ())


def test_names_that_are_books(tmp_path):
    source = source_of(tmp_path, train={"label": ["a", "x" * 1001]})
    with pytest.raises(RunError, match="name of 1,001 characters"):
        read_label_table(source, "train", "label")
