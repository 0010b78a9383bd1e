import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets_fixtures import CIFAR10, IMAGE_TYPE, image_bytes, make_parquet, make_table

from synfill.data.images import inspect_split
from synfill.data.source import open_source
from synfill.errors import RunError, UsageError


def labels(source, split="train"):
    return source.read_column(split, "label").to_pylist()


def test_one_file(tmp_path):
    path = make_parquet(tmp_path / "pets.parquet", {"cat": 2, "dog": 1}, groups={"light": ["a"]})
    source = open_source(str(path))
    assert source.splits == ("train",)
    kinds = [(c.name, c.kind) for c in source.columns]
    assert kinds == [("image", "image"), ("label", "class"), ("light", "string")]
    assert source.columns[1].class_names == ("cat", "dog")
    assert labels(source) == [0, 0, 1]
    assert source.count("train") == 3
    assert source.origin.name == "pets"


def test_a_folder_of_splits(tmp_path):
    make_parquet(tmp_path, {"test": {"a": 1, "b": 0}, "train": {"a": 2, "b": 1}})
    source = open_source(str(tmp_path))
    assert source.splits == ("train", "test")
    assert labels(source, "test") == [0]


def test_rows_come_from_all_shards_in_order(tmp_path):
    table = make_table({"a": 7, "b": 6})
    for shard, (first, count) in enumerate([(0, 5), (5, 0), (5, 8)]):
        name = f"train-{shard:05}-of-00003.parquet"
        pq.write_table(table.slice(first, count), tmp_path / name, row_group_size=3)
    source = open_source(str(tmp_path))
    whole = list(source.iter_rows("train", batch_rows=2))
    assert np.concatenate([rows for rows, _ in whole]).tolist() == list(range(13))
    found = pa.Table.from_batches([batch for _, batch in whole])
    assert found.to_pylist() == table.to_pylist()
    some = list(source.iter_rows("train", np.array([0, 4, 5, 12])))
    assert [row["image"]["path"] for _, b in some for row in b.to_pylist()] == [
        "a-0", "a-4", "a-5", "b-12",
    ]  # fmt: skip
    assert source.describe_row("train", 6) == "train-00002-of-00003.parquet row 1 (a-6)"


def test_row_groups_without_wanted_rows_are_not_read(tmp_path):
    path = make_parquet(tmp_path / "x.parquet", {"a": 40}, row_group_size=10)
    intact = path.read_bytes()
    group = pq.ParquetFile(path).metadata.row_group(1)
    chunk = group.column(0)
    damaged = bytearray(intact)
    for position in range(chunk.data_page_offset, chunk.data_page_offset + 200):
        damaged[position] ^= 0xFF
    path.write_bytes(damaged)
    source = open_source(str(path))
    assert labels(source) == [0] * 40
    assert sum(len(rows) for rows, _ in source.iter_rows("train", np.arange(20, 40))) == 20
    with pytest.raises(RunError, match=r"x\.parquet can't be read"):
        list(source.iter_rows("train"))


def test_bare_binaries_and_inferred_types(tmp_path):
    table = pa.table(
        {
            "img": pa.array([image_bytes(1), None], pa.large_binary()),
            "kind": pa.array(["x", "y"]).dictionary_encode(),
        }
    )
    pq.write_table(table, tmp_path / "x.parquet")
    source = open_source(str(tmp_path))
    assert [(c.name, c.kind) for c in source.columns] == [("img", "image"), ("kind", "string")]
    assert source.columns[1].feature == {"dtype": "string", "_type": "Value"}
    ((_, batch),) = source.iter_rows("train")
    assert batch.to_pylist() == [
        {"img": {"bytes": image_bytes(1), "path": None}, "kind": "x"},
        {"img": {"bytes": None, "path": None}, "kind": "y"},
    ]
    assert source.describe_row("train", 1) == "x.parquet row 1"


def test_images_stored_by_path(tmp_path):
    root = tmp_path / "root"
    (root / "data").mkdir(parents=True)
    (root / "data" / "a.png").write_bytes(image_bytes(1))
    (root / "b.png").write_bytes(image_bytes(2))
    (tmp_path / "secret.png").write_bytes(image_bytes(3))
    names = ["a.png", "b.png", "../secret.png", str(tmp_path / "secret.png"), "gone.png", None]
    images = [{"bytes": None, "path": name} for name in names]
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(pa.table({"image": pa.array(images, struct)}), root / "data" / "x.parquet")
    ((_, batch),) = open_source(str(root)).iter_rows("train")
    found = batch.column("image").field("bytes").to_pylist()
    assert found == [image_bytes(1), image_bytes(2), None, None, None, None]


def test_our_own_output_is_read_back(tmp_path):
    make_parquet(tmp_path / "data" / "train-00000-of-00001.parquet", {"a": 2})
    make_parquet(tmp_path / "synfill" / "plan.parquet", {"z": 9})
    header = (
        "configs:\n- config_name: default\n  data_files:\n  - {split: train, path: data/train-*}"
    )
    (tmp_path / "README.md").write_text(f"---\nlicense: mit\n{header}\n---\n# x\n")
    source = open_source(str(tmp_path))
    assert source.count("train") == 2
    assert source.origin.licence == "mit"


def test_hidden_and_unfinished_files_are_ignored(tmp_path):
    make_parquet(tmp_path / "a.parquet", {"a": 1})
    (tmp_path / "_tmp.parquet").write_bytes(b"half")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "b.parquet").write_bytes(b"half")
    assert open_source(str(tmp_path)).count("train") == 1


@pytest.mark.parametrize(
    "damage", [lambda data: b"not parquet", lambda data: data[:-20], lambda data: b""]
)
def test_files_that_are_not_parquet(tmp_path, damage):
    path = make_parquet(tmp_path / "x.parquet", {"a": 1})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(RunError, match=r"x\.parquet can't be read as Parquet"):
        open_source(str(tmp_path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop_columns(["label"]), "it has no column 'label'"),
        (lambda t: t.append_column("more", pa.array([1])), "a column 'more' more"),
        (lambda t: t.set_column(1, "label", pa.array(["x"])), "'label' is string, not int64"),
        (lambda t: make_table({"other": 1}), "with other classes"),
    ],
)
def test_files_that_do_not_fit_each_other(tmp_path, change, message):
    table = make_table({"a": 1})
    pq.write_table(table, tmp_path / "1.parquet")
    pq.write_table(change(table), tmp_path / "2.parquet")
    with pytest.raises(RunError, match=f"2.parquet doesn't fit 1.parquet: .*{message}"):
        open_source(str(tmp_path))


def test_small_differences_between_files_are_none(tmp_path):
    table = make_table({"a": 2}, labels="string")
    empty = pa.nulls(2, pa.null())
    encoded = table.column("label").combine_chunks().dictionary_encode()
    pq.write_table(table.set_column(1, "label", empty), tmp_path / "1.parquet")
    pq.write_table(table.select(["label", "image"]), tmp_path / "2.parquet")
    pq.write_table(table.set_column(1, "label", encoded), tmp_path / "3.parquet")
    source = open_source(str(tmp_path))
    assert labels(source) == [None, None, "a", "a", "a", "a"]
    schemas = [batch.schema for _, batch in source.iter_rows("train")]
    assert all(schema.equals(schemas[0]) for schema in schemas)


def test_no_rows_or_no_images(tmp_path):
    path = make_parquet(tmp_path / "x.parquet", {"a": 0})
    with pytest.raises(UsageError, match="no rows"):
        open_source(str(path))
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(UsageError, match=r"No column holds images.*a \(int\)"):
        open_source(str(path))


def test_two_columns_of_one_name(tmp_path):
    table = pa.Table.from_arrays([pa.array([b"x"]), pa.array([1]), pa.array([2])], ["i", "a", "a"])
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(RunError, match="two columns of the same name"):
        open_source(str(tmp_path))


def test_several_configurations(tmp_path):
    for name in ("one", "two"):
        make_parquet(tmp_path / name / "train.parquet", {name: 1})
    configs = [{"config_name": n, "data_dir": n} for n in ("one", "two")]
    (tmp_path / "README.md").write_text(f"---\nconfigs: {json.dumps(configs)}\n---\n")
    with pytest.raises(UsageError, match="several configurations: one, two"):
        open_source(str(tmp_path))
    source = open_source(str(tmp_path), config="two")
    assert source.columns[1].class_names == ("two",)


@pytest.mark.skipif(not CIFAR10.is_dir(), reason="the shared CIFAR-10 is not here")
def test_cifar10():
    source = open_source(str(CIFAR10))
    assert {split: source.count(split) for split in source.splits} == {
        "train": 50_000,
        "test": 10_000,
    }
    assert source.columns[1].class_names[0] == "airplane"
    ((rows, batch),) = source.iter_rows("test", np.array([9_999]))
    assert rows.tolist() == [9_999]
    assert batch.column("image").field("bytes")[0].as_py().startswith(b"\xff\xd8")


def test_images_that_are_stored_by_path_are_read_inside_the_folder_alone(tmp_path):
    """A path in a table is a stranger's word; so are links that a path leads through."""
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "out.png").write_bytes(image_bytes(1))
    (root / "in.png").write_bytes(image_bytes(2))
    (root / "link.png").symlink_to("../out.png")
    os.mkfifo(root / "pipe")
    (root / "zero").symlink_to("/dev/zero")
    paths = ["in.png", "../out.png", str(tmp_path / "out.png"), "link.png", "pipe", "zero", "a\0",
             "../root/in.png", None]  # fmt: skip
    images = pa.array([{"bytes": None, "path": path} for path in paths], IMAGE_TYPE)
    pq.write_table(pa.table({"image": images, "label": range(9)}), root / "train.parquet")
    source = open_source(str(root))
    ((_, batch),) = source.iter_rows("train")
    found = [image["bytes"] for image in batch.column("image").to_pylist()]
    assert found == [image_bytes(2), *[None] * 6, image_bytes(2), None]


def test_large_images_come_in_small_batches(tmp_path, monkeypatch):
    monkeypatch.setattr("synfill.data.sources.shards.BATCH_BYTES", 3 * len(image_bytes(0)))
    monkeypatch.setattr("synfill.data.rows.BATCH_BYTES", 3 * len(image_bytes(0)))
    make_parquet(tmp_path / "a.parquet", {"a": 10})
    parts = list(open_source(str(tmp_path / "a.parquet")).iter_rows("train"))
    assert 1 < max(len(rows) for rows, _ in parts) <= 3
    assert [row for rows, _ in parts for row in rows] == list(range(10))
    for name in range(3):
        (tmp_path / f"{name}.png").write_bytes(image_bytes(name))
    images = pa.array([{"bytes": None, "path": f"{n % 3}.png"} for n in range(10)], IMAGE_TYPE)
    pq.write_table(pa.table({"image": images, "label": range(10)}), tmp_path / "a.parquet")
    parts = list(open_source(str(tmp_path / "a.parquet")).iter_rows("train"))
    assert max(len(rows) for rows, _ in parts) <= 4
    found = [image["bytes"] for _, part in parts for image in part.column("image").to_pylist()]
    assert found == [image_bytes(n % 3) for n in range(10)]


def test_a_small_file_of_much_text_is_refused(tmp_path):
    """A word that is stored once and stands in every row: 50 kB that would fill 3 GB."""
    rows = 3_000_000
    words = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), ["x" * 1000])
    images = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), [b"x"])
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"image": images, "label": words}), path, row_group_size=rows)
    assert path.stat().st_size < 1_000_000
    with pytest.raises(RunError, match=r"'label' of a\.parquet holds 3\.0 GB of text"):
        labels(open_source(str(path)))


def test_many_bad_rows_read_their_names_once(tmp_path, monkeypatch):
    path = make_parquet(tmp_path / "x.parquet", {"a": 300}, row_group_size=100)
    table = pq.read_table(path)
    rows = table["image"].to_pylist()
    bad = pa.array([row | {"bytes": b"hello"} for row in rows], IMAGE_TYPE)
    pq.write_table(table.set_column(0, "image", bad), path, row_group_size=100)
    source = open_source(str(path))
    reads = []
    read_paths = source._read_paths
    monkeypatch.setattr(
        source, "_read_paths", lambda *given: reads.append(given) or read_paths(*given)
    )
    found = inspect_split(source, "train").bad
    assert [row.row for row in found] == list(range(300))
    assert found[257].where == "x.parquet row 257 (a-257)"
    assert len(reads) == 3  # one a row group


@pytest.mark.parametrize("kind", ["bytes", "plain", "path"])
def test_bytes_of_images_are_known_without_reading_them(tmp_path, kind):
    root = tmp_path / "p"
    data = [image_bytes(seed, (64, 64)) for seed in range(5)]
    (root / "images").mkdir(parents=True)
    images = {
        "bytes": pa.array([{"bytes": one, "path": None} for one in data], IMAGE_TYPE),
        "plain": pa.array(data, pa.binary()),
        "path": pa.array([{"bytes": None, "path": f"images/{k}"} for k in range(5)], IMAGE_TYPE),
    }
    if kind == "path":
        for number, one in enumerate(data):
            (root / f"images/{number}").write_bytes(one)
    features = {"image": {"_type": "Image"}}
    noted = {"huggingface": json.dumps({"info": {"features": features}})}
    table = pa.table({"image": images[kind], "label": ["a"] * 5}).replace_schema_metadata(noted)
    pq.write_table(table, root / "train.parquet")
    found = open_source(str(root)).image_bytes("train")
    assert found == pytest.approx(sum(map(len, data)), rel=0.2)
