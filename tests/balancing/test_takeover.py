"""More of the same, into a folder whose files a stranger made: read with care, made again."""

import csv
import hashlib
import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets_fixtures import make_imagefolder

PARQUET, VERDICTS = "data/train-00000-of-00001.parquet", "synfill/verdicts.parquet"
TABLE = "train/metadata.csv"


@pytest.fixture
def grow(cli, tmp_path, sd_model):
    photos = make_imagefolder(tmp_path / "photos", {"train": {"cat": 12, "dog": 4}})
    given = ("balance", photos, "--model", sd_model, "--steps", 1, "--size", 32, "--out", "out")

    def balance(limit, form):
        return cli(*given, "--limit", limit, "--format", form)

    return balance


def seal(out, name):
    """The record says what is there now, as a forged one may."""
    path = out / "synfill/run.json"
    record = json.loads(path.read_text())
    content = (out / name).read_bytes()
    entry = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    record["files"][name] = entry
    path.write_text(json.dumps(record))


def rows_with(column, value):
    def change(rows):
        for row in rows:
            if row["synthetic"] == "True":
                row[column] = value

    return change


def without(column):
    def change(rows):
        for row in rows:
            del row[column]

    return change


@pytest.mark.parametrize(
    "name", ["../../secret.png", "/dev/zero", "{secret}", "../photos/train/cat/0.png", ".", "no"]
)
def test_a_table_leads_to_no_file_of_others(grow, tmp_path, name):
    assert grow(2, "imagefolder").code == 0
    out, secret = tmp_path / "out", tmp_path / "secret.png"
    first = next((tmp_path / "photos").rglob("*0*.*"))
    secret.write_bytes(first.read_bytes())
    _change_table(out, rows_with("file_name", name.format(secret=secret)))
    ran = grow(4, "imagefolder")
    assert ran.code == 0, ran.err
    assert "0 of 4 images are taken over" in " ".join(ran.err.split())


@pytest.mark.parametrize(
    "change",
    [
        *map(without, ("seed", "synthetic", "file_name")),
        rows_with("seed", "x"),
        rows_with("seed", "9" * 5000),
    ],
)
def test_a_damaged_table_is_named(grow, tmp_path, change):
    assert grow(2, "imagefolder").code == 0
    _change_table(tmp_path / "out", change)
    ran = grow(4, "imagefolder")
    assert ran.code == 1
    assert "metadata.csv" in ran.err and "can't be read" in " ".join(ran.err.split())


def _change_table(out, change):
    with (out / TABLE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    change(rows)
    with (out / TABLE).open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    seal(out, TABLE)


def set_column(name, make):
    def change(table):
        values = make(table)
        return table.set_column(table.column_names.index(name), name, values)

    return change


IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.mark.parametrize(
    ("name", "change", "taken"),
    [
        (PARQUET, set_column("image", lambda t: pa.nulls(len(t), IMAGE)), 0),
        (PARQUET, set_column("image", lambda t: pa.array(["x"] * len(t))), 0),
        (
            PARQUET,
            set_column("image", lambda t: pa.array([{"bytes": b"x", "path": "x"}] * len(t), IMAGE)),
            0,
        ),
        (
            PARQUET,
            set_column("image", lambda t: pa.array([{"bytes": None, "path": "/"}] * len(t), IMAGE)),
            0,
        ),
        (PARQUET, set_column("seed", lambda t: pa.array(["x"] * len(t))), None),
        (PARQUET, lambda table: table.drop_columns(["image"]), None),
        (PARQUET, lambda table: table.drop_columns(["seed"]), None),
        (VERDICTS, lambda table: table.drop_columns(["seed"]), None),
        (VERDICTS, set_column("attempt", lambda t: pa.nulls(len(t), pa.int32())), None),
        (VERDICTS, set_column("attempt", lambda t: pa.array([-5] * len(t), pa.int32())), 0),
        (VERDICTS, set_column("accepted", lambda t: pa.array(["no"] * len(t))), None),
        (VERDICTS, set_column("scores", lambda t: pa.array(["x"] * len(t))), None),
        (VERDICTS, lambda table: pa.concat_tables([table, table]), 0),
        ("synfill/plan.parquet", set_column("prompt", lambda t: pa.array([["x"]] * len(t))), "2"),
    ],
)
def test_damaged_files_are_named_or_made_again(grow, tmp_path, name, change, taken):
    assert grow(2, "parquet").code == 0
    out = tmp_path / "out"
    pq.write_table(change(pq.read_table(out / name)), out / name)
    seal(out, name)
    ran = grow(4, "parquet")
    told = " ".join(ran.err.split())
    if taken == 0:
        assert ran.code == 0, ran.err
        assert "0 of 4 images are taken over" in told
        assert pq.read_table(out / PARQUET).num_rows == 20
    elif taken is None:
        assert ran.code == 1 and name in told and "can't be read" in told
    else:
        assert ran.code == 2 and "not all of them" in told


@pytest.mark.parametrize("split", ["/etc/passwd", "**", "[!x", "../../x"])
def test_a_split_in_the_record_is_no_pattern(grow, tmp_path, split):
    assert grow(2, "parquet").code == 0
    path = tmp_path / "out/synfill/run.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"split": split}))
    ran = grow(4, "parquet")
    assert ran.code == 0, ran.err
    assert "2 of 4 images are taken over" in " ".join(ran.err.split())


def test_a_pipe_is_not_waited_for(grow, tmp_path):
    assert grow(2, "parquet").code == 0
    path = tmp_path / "out/synfill/run.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"files": {"x" * 5000: {"bytes": 1, "sha256": "0" * 64}}}))
    assert grow(2, "parquet").code == 0
    os.mkfifo(tmp_path / "out/data/train-00001-of-00002.parquet")
    assert grow(4, "parquet").code == 2
