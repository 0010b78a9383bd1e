"""The command line reads from a small Hub that fails; see data/sources/test_hub_reading.py."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets_fixtures import IMAGE_TYPE, make_imagefolder, make_parquet
from hub_server import Fault, User

ID = "bob/pets"
COUNTS = {"cat": 5, "dog": 3}


@pytest.fixture
def alice(alice_here):
    return alice_here


@pytest.fixture
def pets(hub, tmp_path):
    folder = tmp_path / "pets"
    for number, classes in enumerate([{"cat": 5, "dog": 0}, {"cat": 0, "dog": 3}]):
        make_parquet(folder / f"data/train-0000{number}-of-00002.parquet", classes)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    return hub.store.put_folder(ID, folder)


@pytest.fixture
def balance(alice, sd_model):
    """Balances the dataset, which downloads it whole."""

    def run(**environment):
        return alice("balance", ID, "--model", sd_model, "--steps", 1, "--size", 32, **environment)

    return run


def counts(ran):
    assert ran.code == 0, ran.err
    return json.loads(ran.out)["splits"]["train"]["class_counts"]


def flipped(data):
    half = len(data) // 2
    return data[:half] + bytes([data[half] ^ 1]) + data[half + 1 :]


def is_clear(ran):
    assert ran.code == 1, (ran.code, ran.err)
    assert "mistake in synfill" not in ran.err
    return ran.err


def test_a_flipped_byte_in_a_dataset_that_is_loaded_whole(alice, hub, tmp_path):
    put = hub.store.put_folder
    put(ID, make_imagefolder(tmp_path / "folder", {"train": {"cat": 5, "dog": 3}}))
    hub.faults.append(Fault(r"GET .*\.png", "damage", body=flipped, every=3))
    hub.faults.append(Fault(r"GET .*\.png", "body", body=b"<html>", times=1))
    err = is_clear(alice.apart("analyze", ID))
    assert "isn't what the Hub lists" in err
    hub.faults[0].times = hub.faults[0].done + 1
    assert counts(alice.apart("analyze", ID, "--json")) == COUNTS
    hub.faults.clear()
    assert counts(alice.apart("analyze", ID, "--json", HF_HUB_OFFLINE="1")) == COUNTS


def test_many_shards_transfer_at_most_two_percent(alice, hub, tmp_path):
    """20 MB in shards of 0.5 MB, with one row group each; of larger ones it is less."""
    shards, images = 40, 10
    rng = np.random.default_rng(0)
    folder = tmp_path / "large"
    folder.mkdir()
    noted = {"label": {"names": ["a", "b", "c"], "_type": "ClassLabel"}}
    described = {"huggingface": json.dumps({"info": {"features": noted}})}
    for shard in range(shards):
        stored = [{"bytes": rng.bytes(51_200), "path": None} for _ in range(images)]
        labels = pa.array([row % 3 for row in range(images)], pa.int64())
        table = pa.table({"image": pa.array(stored, IMAGE_TYPE), "label": labels})
        table = table.replace_schema_metadata(described)
        pq.write_table(table, folder / f"train-{shard:05d}-of-{shards:05d}.parquet")
    size = sum(path.stat().st_size for path in folder.iterdir())
    hub.store.put_folder(ID, folder)
    found = counts(alice("analyze", ID, "--json"))
    assert sum(found.values()) == shards * images
    parts = [request for request in hub.requests if "206" in request]
    assert len(parts) <= 3 * shards
    assert 0 < hub.served["resolve"] <= 0.01 * size
    assert sum(hub.served.values()) <= 0.02 * size


def test_a_password_in_the_hubs_address_is_nowhere(hub, alice, pets, balance, sd_model):
    hub.store.users["Gehe1m-Wort"] = User("alice")
    host = hub.url.removeprefix("http://")
    inside = {"HF_ENDPOINT": f"http://alice:Gehe1m-Wort@{host}"}
    assert counts(alice.apart("analyze", ID, "--json", **inside)) == COUNTS
    shown = [
        balance(**inside),
        alice("push", "pets-balanced", "alice/pets", **inside),
        alice("analyze", f"{ID}@v9", **inside),
    ]
    assert [ran.code for ran in shown] == [0, 0, 1], shown
    pets.gated = True
    shown.append(alice("analyze", ID, **inside))
    hub.faults.append(Fault("/api/", "503"))
    shown.append(alice("analyze", ID, **inside))
    assert "datasets/alice/pets" in shown[1].out
    for ran in shown:
        assert "Gehe1m" not in ran.out + ran.err
    made = [path for path in alice.folder.rglob("*") if path.is_file()]
    assert not [path for path in made if b"Gehe1m" in path.read_bytes()]
    assert not any(b"Gehe1m" in data for data in hub.files("alice/pets").values())


@pytest.mark.parametrize("fault", ["403", "expired"])
def test_debugging_shows_neither_password_nor_token_nor_signed_address(hub, alice, pets, fault):
    hub.has_storage = True
    hub.store.users["Gehe1m-Wort"] = User("alice")
    echo = b'{"error": "Invalid token Gehe1m-Wort hf_echoedByTheServer"}'
    hub.faults.append(Fault("GET /storage" if fault == "expired" else "/tree/", fault, body=echo))
    host = hub.url.removeprefix("http://")
    process = alice.start(
        "analyze", ID, SYNFILL_DEBUG="1", HF_DEBUG="1",
        HF_ENDPOINT=f"http://alice:Gehe1m-Wort@{host}",
    )  # fmt: skip
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" in err
    assert not re.search("Gehe1m|echoedByTheServer|geheim|secretOfAlice", out + err)


def test_no_bars_off_a_terminal(alice, hub, tmp_path):
    hub.store.put_folder(ID, make_imagefolder(tmp_path / "f", {"train": {"cat": 5, "dog": 3}}))
    on = {"HF_HUB_DISABLE_PROGRESS_BARS": "", "HF_DATASETS_DISABLE_PROGRESS_BARS": ""}
    ran = alice.apart("analyze", ID, "--quiet", "--json", **on)
    assert counts(ran) == COUNTS
    assert "%|" not in ran.err and "examples/s" not in ran.err and "Downloading" not in ran.err


def test_a_model_is_downloaded_checked_and_then_used_offline(hub, alice, pets, sd_model):
    hub.store.put_folder("models/bob/sd", Path(sd_model))
    hub.has_storage = True
    damaged = []

    def once(data):
        if b'"dtype"' not in data[:400] or damaged:
            return data
        damaged.append(data)
        return flipped(data)

    hub.faults += [Fault("GET|HEAD", "503", every=3), Fault("GET /storage", "damage", body=once)]
    command = ("balance", ID, "--model", "bob/sd", "--steps", 1, "--size", 32)
    ran = alice(*command, "--out", "first")
    assert ran.code == 0, ran.err
    assert damaged and "arrived damaged" in ran.err
    hub.faults.clear()
    hub.die()
    assert alice(*command, "--out", "second").code == 0
    assert alice(*command, "--out", "third", HF_HUB_OFFLINE="1").code == 0
    first, third = (sorted((alice.folder / name / "data").iterdir()) for name in ("first", "third"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in third]
    hub.come_back()
