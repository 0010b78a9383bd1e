import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets_fixtures import image_bytes

from synfill.data.sources.imagefolder.metadata import read_metadata
from synfill.data.tree import read_tree
from synfill.errors import RunError, UsageError


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(image_bytes(1))
    return tmp_path


def read(folder):
    return read_metadata(read_tree(folder), [""], {"a.png", "b.png"})


def columns(text, folder):
    (folder / "metadata.csv").write_text(text, encoding="utf-8")
    return read(folder).table.to_pydict()


def test_types_of_a_csv(folder):
    text = (
        "file_name,i,f,b,s,zip,pandas,none,q\n"
        'a.png,1,1.5,TRUE,x,01,3.0,,"a, b"\n'
        'b.png,,2,,,02,,,"c\nd"\n'
    )
    assert columns(text, folder) == {
        "i": [1, None],
        "f": [1.5, 2.0],
        "b": [True, None],
        "s": ["x", None],
        "zip": ["01", "02"],
        "pandas": [3, None],
        "none": [None, None],
        "q": ["a, b", "c\nd"],
    }


def test_byte_order_mark(folder):
    assert columns("\ufefffile_name,label\na.png,x\n", folder) == {"label": ["x"]}


def test_jsonl(folder):
    rows = [{"file_name": "a.png", "label": "x", "n": 1}, {"file_name": "b.png", "label": None}]
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    metadata = read(folder)
    assert metadata.table.to_pydict() == {"label": ["x", None], "n": [1, None]}
    assert metadata.rows == {"a.png": 0, "b.png": 1}


def test_parquet(folder):
    label = pa.array(["x", "y"]).dictionary_encode()
    pq.write_table(
        pa.table({"file_name": ["a.png", "b.png"], "label": label}), folder / "metadata.parquet"
    )
    assert read(folder).table.to_pydict() == {"label": ["x", "y"]}


def test_paths_are_made_plain(folder):
    (folder / "metadata.csv").write_text("file_name,y\n./a.png,1\nx\\b.png,2\n")
    assert read(folder).rows == {"a.png": 0, "x/b.png": 1}


@pytest.mark.parametrize("name", ["../a.png", "x/../../a.png", "/etc/passwd", "C:\\a.png", ".."])
def test_paths_may_not_leave_the_folder(folder, name):
    (folder / "metadata.csv").write_text(f"file_name,y\na.png,1\n{name},2\n")
    with pytest.raises(RunError, match=r"metadata\.csv line 3 names a file outside"):
        read(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file_name,y\na.png,1\n,2\n", "line 3 names no file"),
        ("file_name,y\na.png,1\na.png,2\n", "line 3 names a.png a second time"),
        ("file_name,y\na.png,1,9\n", "can't be read"),
        ("file_name,y,y\na.png,1,9\n", "two columns of the same name"),
        ("", "can't be read"),
    ],
)
def test_damaged_files(folder, text, message):
    (folder / "metadata.csv").write_text(text)
    with pytest.raises(RunError, match=message):
        read(folder)


def test_not_utf8(folder):
    (folder / "metadata.csv").write_bytes(b"file_name,y\na.png,\xff\xfe\n")
    with pytest.raises(RunError, match="can't be read"):
        read(folder)


def test_no_column_of_files(folder):
    (folder / "metadata.csv").write_text("picture,y\nz.png,1\n")
    with pytest.raises(UsageError, match="no column 'file_name'"):
        read(folder)


def test_two_metadata_files(folder):
    (folder / "metadata.csv").write_text("file_name\na.png\n")
    (folder / "metadata.jsonl").write_text("{}")
    with pytest.raises(UsageError, match="several metadata files"):
        read(folder)
