import pytest
from datasets_fixtures import make_imagefolder, make_parquet, make_saved

from synfill.data.source import image_column, open_source
from synfill.errors import UsageError


def test_each_form_is_told_apart(tmp_path):
    specs = [
        make_imagefolder(tmp_path / "folder", {"a": 1}),
        make_parquet(tmp_path / "x.parquet", {"a": 1}),
        make_parquet(tmp_path / "shards", {"train": {"a": 1}}),
        make_saved(tmp_path / "saved", {"a": 1}),
    ]
    names = [type(open_source(str(spec))).__name__ for spec in specs]
    assert names == ["ImageFolderSource", "ParquetSource", "ParquetSource", "ArrowSource"]
    for spec in specs:
        assert image_column(open_source(str(spec)).columns).name == "image"


def test_the_current_folder_has_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(make_imagefolder(tmp_path / "my pets", {"a": 1}))
    assert open_source(".").origin.name == "my-pets"
    assert open_source(".").origin.location == "."


def test_a_local_folder_wins_over_the_hub(tmp_path, monkeypatch):
    make_imagefolder(tmp_path / "owner" / "name", {"a": 1})
    monkeypatch.chdir(tmp_path)
    assert open_source("owner/name").origin.is_local


def test_demo_is_built_in_and_a_folder_of_that_name_still_reachable(tmp_path, monkeypatch):
    make_imagefolder(tmp_path / "demo", {"a": 1})
    monkeypatch.chdir(tmp_path)
    assert type(open_source("demo")).__name__ == "DemoSource"
    assert type(open_source("./demo")).__name__ == "ImageFolderSource"


def test_an_imagefolder_with_metadata_parquet_is_one(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    make_imagefolder(tmp_path, {"a": 1})
    pq.write_table(pa.table({"file_name": ["a/0.png"], "y": [3]}), tmp_path / "metadata.parquet")
    source = open_source(str(tmp_path))
    assert source.read_column("train", "y").to_pylist() == [3]


@pytest.mark.parametrize(
    "spec", ["gone", "./gone/x", "/gone/x", "~/gone-x", "", "a/b/c", "x\0y", "../a", "a" * 5000]
)
def test_no_such_dataset(spec):
    with pytest.raises(UsageError, match="no folder or file") as caught:
        open_source(spec)
    assert "owner/name" in caught.value.hint


def test_other_files(tmp_path):
    (tmp_path / "x.zip").write_bytes(b"x")
    with pytest.raises(UsageError, match="not a Parquet file"):
        open_source(str(tmp_path / "x.zip"))


@pytest.mark.parametrize("make", [make_imagefolder, make_saved])
def test_configurations_where_there_are_none(tmp_path, make):
    make(tmp_path / "x", {"a": 1})
    with pytest.raises(UsageError, match="--config c"):
        open_source(str(tmp_path / "x"), config="c")


@pytest.mark.parametrize(
    ("header", "licence"),
    [
        ("license: mit", "mit"),
        ("license: [mit, cc0-1.0]", "mit, cc0-1.0"),
        ("x: 1", ""),
        ("- 1", ""),
    ],
)
def test_the_licence_of_the_card(tmp_path, header, licence):
    make_imagefolder(tmp_path, {"a": 1})
    (tmp_path / "README.md").write_text(f"---\n{header}\n---\nText\n")
    assert open_source(str(tmp_path)).origin.licence == licence


def test_cards_without_a_header_or_with_a_broken_one(tmp_path):
    make_imagefolder(tmp_path, {"a": 1})
    (tmp_path / "README.md").write_text("# Pets\n\n---\n")
    assert open_source(str(tmp_path)).origin.licence == ""
    (tmp_path / "README.md").write_text("---\na: [\n---\n")
    source = open_source(str(tmp_path))
    assert source.count("train") == 1
    (told,) = (note for note in source.notes if "README.md" in note)
    assert "README.md is not valid YAML" in told and "line 2" in told
