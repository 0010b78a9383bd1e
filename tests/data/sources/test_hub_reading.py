"""Datasets on a small Hub that answers with what it shouldn't, read in this process."""

import io
import time
from collections import Counter

import pyarrow.parquet as pq
import pytest
from datasets_fixtures import make_imagefolder, make_parquet, make_table
from hub_server import Fault
from huggingface_hub import constants

from synfill.data.source import open_source
from synfill.errors import RunError
from synfill.hub import retry

ID = "bob/pets"
HTML = b"<html><body>Log in to the network</body></html>"
COUNTS = {"cat": 5, "dog": 3}
LISTED = b'[{"type": "file", "path": "a.parquet", "oid": "%s", "size": %s}]'


@pytest.fixture
def online(hub, monkeypatch, tmp_path):
    """Lets this process ask that Hub, with caches of its own; waiting takes no time."""
    page = constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
    for name, value in {
        "HF_HUB_OFFLINE": False,
        "ENDPOINT": hub.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": f"{hub.url}{page}",
        "HF_HUB_CACHE": str(tmp_path / "home/hub"),
        "HF_HOME": str(tmp_path / "home"),
    }.items():
        monkeypatch.setattr(constants, name, value)
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(seconds / 200))
    monkeypatch.setattr(retry, "_STATE", retry._State())


@pytest.fixture
def pets(hub, online, tmp_path):
    folder = tmp_path / "pets"
    for number, classes in enumerate([{"cat": 5, "dog": 0}, {"cat": 0, "dog": 3}]):
        make_parquet(folder / f"data/train-0000{number}-of-00002.parquet", classes)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    return hub.store.put_folder(ID, folder)


@pytest.fixture
def converted(hub, online, tmp_path):
    """Images in a folder, with the Hub's own conversion of them."""
    folder = make_imagefolder(tmp_path / "folder", {"cat": 5, "dog": 3})
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    repo = hub.store.put_folder(ID, folder)
    buffer = io.BytesIO()
    pq.write_table(make_table(COUNTS), buffer)
    files = {"default/train/0000.parquet": hub.store.add(buffer.getvalue(), lfs=True)}
    repo.commit("refs/convert/parquet", files, "convert")
    return repo


def columns_of(id=ID):
    """The counts, as `analyze` has them: from footers and columns."""
    source = open_source(id)
    names = next(column.class_names for column in source.columns if column.name == "label")
    return Counter(names[code] for code in source.read_column("train", "label").to_pylist())


def rows_of(id=ID):
    """The counts from whole rows, as `balance` has them: everything is downloaded."""
    source = open_source(id)
    names = next(column.class_names for column in source.columns if column.name == "label")
    batches = [batch for _, batch in source.iter_rows("train")]
    return Counter(names[code] for batch in batches for code in batch["label"].to_pylist())


def flipped(data):
    """As a download is damaged: parts of a file are left alone, as nobody can see it there."""
    half = len(data) // 2
    is_part = not data.startswith((b"PAR1", b"---"))
    return data if is_part else data[:half] + bytes([data[half] ^ 1]) + data[half + 1 :]


@pytest.mark.parametrize("route", ["GET /api/datasets/bob/pets$", "/tree/", "/refs$", "resolve/"])
@pytest.mark.parametrize("body", [b"null", b"{}", b"[]", HTML, b'"text"'])
def test_nonsense_on_every_endpoint_is_asked_again_then_told(hub, converted, route, body):
    hub.faults.append(Fault(route, "body", body=body, times=1))
    assert columns_of() == COUNTS
    hub.faults[0].times = 1 << 30
    with pytest.raises(RunError, match="the Hub") as caught:
        open_source("bob/pets@main" if "refs" not in route else ID).count("train")
    assert "mistake" not in str(caught.value) and caught.value.hint


@pytest.mark.parametrize(
    "body",
    [b"[1]", b'[{"type": "file"}]', LISTED % (b"0" * 40, b'"x"'), LISTED % (b"0" * 40, b"-1"),
     LISTED % (b"", b"1")],
)  # fmt: skip
def test_listings_with_parts_of_other_types(hub, pets, body):
    hub.faults.append(Fault("/tree/", "body", body=body))
    with pytest.raises(RunError, match="the Hub"):
        open_source(ID)


@pytest.mark.parametrize("kind", ["503", "cut"])
def test_nothing_that_fails_every_second_time_ends_a_read(hub, pets, kind):
    hub.faults.append(Fault("GET|HEAD", kind, every=2))
    assert columns_of() == COUNTS
    assert rows_of() == COUNTS
    assert hub.faults[0].done > 8


@pytest.mark.parametrize("request_", ["HEAD .*README.md", "GET .*README.md"])
def test_one_page_in_a_cards_place(hub, pets, request_):
    hub.faults.append(Fault(request_, "body", body=HTML, times=1))
    assert columns_of() == COUNTS
    assert hub.faults[0].done == 1


@pytest.mark.parametrize("name", ["00001-of-00002.parquet", "README.md"])
def test_a_flipped_byte_is_seen_and_does_not_stay_in_the_cache(hub, pets, name, tmp_path):
    hub.faults.append(Fault(f"GET .*{name}", "damage", body=flipped))
    with pytest.raises(RunError, match="isn't what the Hub lists") as caught:
        rows_of()
    assert name in str(caught.value)
    assert not list((tmp_path / "home/hub").rglob(f"*{name}"))
    hub.faults[0].seen = hub.faults[0].done = 0
    damaged = []
    hub.faults[0].body = lambda data: data if damaged else damaged.append(1) or flipped(data)
    assert rows_of() == COUNTS


def test_what_was_compared_once_is_not_read_again(hub, pets):
    assert rows_of() == COUNTS
    before = len(hub.requests)
    assert rows_of() == COUNTS
    asked = hub.requests[before:]
    assert asked and not any("/resolve/" in request for request in asked)


@pytest.mark.parametrize(
    "change", [lambda data: data[:-1], lambda data: data + b"x", lambda data: b""]
)
def test_a_part_of_another_length(hub, pets, change):
    hub.faults.append(Fault(r"GET .*\.parquet", "damage", body=change, every=2, times=3))
    assert columns_of() == COUNTS
    assert hub.faults[0].done == 3
    hub.faults[0].every, hub.faults[0].times = 1, 1 << 30
    with pytest.raises(RunError, match="bytes where"):
        columns_of()


def test_a_server_that_sends_whole_files_for_parts(hub, pets):
    hub.faults.append(Fault(r"GET .*\.parquet", "body", body=b"x" * 10_000_000))
    with pytest.raises(RunError, match="something else where a part"):
        columns_of()


def test_an_address_that_expired_is_asked_for_anew(hub, pets):
    hub.has_storage = True
    hub.faults.append(Fault("GET /storage", "expired", every=2))
    assert columns_of() == COUNTS
    assert rows_of() == COUNTS
    assert hub.faults[0].done > 3


@pytest.mark.parametrize("read", [columns_of, rows_of])
def test_an_address_that_has_always_expired_is_no_missing_right(hub, pets, read):
    hub.has_storage = True
    hub.faults.append(Fault("GET /storage", "expired"))
    with pytest.raises(RunError, match="the Hub's storage answered with status 403") as caught:
        read()
    said = str(caught.value)
    assert "expired" in said and "geheim" not in said and "token" not in said


@pytest.mark.parametrize("id", [ID, f"{ID}@refs/convert/parquet"])
def test_a_conversion_is_read_from_the_cache_without_a_connection(hub, converted, monkeypatch, id):
    assert rows_of(id) == COUNTS
    asked = len(hub.requests)
    with monkeypatch.context() as without:
        without.setattr(constants, "HF_HUB_OFFLINE", True)
        assert columns_of(id) == rows_of(id) == COUNTS
        assert open_source(id).origin.licence == ("mit" if id == ID else "")
    hub.die()
    assert columns_of(id) == rows_of(id) == COUNTS
    assert len(hub.requests) == asked
    hub.come_back()


def test_a_footer_of_any_length_and_none(hub, online, tmp_path):
    folder = tmp_path / "odd"
    make_parquet(folder / "train-0.parquet", {"cat": 2, "dog": 1})
    table = make_table({"cat": 3, "dog": 2})
    long = table.replace_schema_metadata({**table.schema.metadata, b"note": b"x" * 300_000})
    pq.write_table(long, folder / "train-1.parquet", row_group_size=1)
    repo = hub.store.put_folder(ID, folder)
    assert columns_of() == COUNTS
    for content in (b"", b"PAR1", b"\xff" * 4 + b"PAR1", b"x" * 100 + b"\xff\xff\xff\x7fPAR1"):
        repo.commit("refs/heads/main", {"a.parquet": hub.store.add(content, lfs=True)}, "odd")
        with pytest.raises(RunError, match=r"a\.parquet can't be read as Parquet"):
            open_source(ID)
