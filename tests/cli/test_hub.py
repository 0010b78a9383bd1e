"""Datasets on a small Hub, read and pushed through the command line."""

import io
import json
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets_fixtures import IMAGE_TYPE, make_imagefolder, make_parquet, make_table
from hub_server import Fault

ID = "bob/pets"
CARD = """---
license: mit
dataset_info:
  features:
  - name: image
    dtype: image
  - name: label
    dtype:
      class_label:
        names:
          '0': cat
          '1': dog
---
# pets
"""


def put(hub, folder: Path, id=ID, **options):
    return hub.store.put_folder(id, folder, **options)


def analyzed(ran):
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


@pytest.fixture
def alice(alice_here):
    return alice_here


@pytest.fixture
def pets(hub, tmp_path):
    """A repository of two shards and a test split, with its licence in the card."""
    folder = tmp_path / "pets"
    for number, classes in enumerate([{"cat": 5}, {"cat": 1, "dog": 3}]):
        names = {"cat": 0, "dog": 0} | classes
        make_parquet(folder / f"data/train-0000{number}-of-00002.parquet", names)
    make_parquet(folder / "data/test-00000-of-00001.parquet", {"cat": 1, "dog": 1})
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    return put(hub, folder)


def test_analyze_tells_real_from_synthetic_images(alice, hub, tmp_path):
    columns = {"synthetic": [False, False, True], "prompt": [None, None, "a dog"],
               "seed": [None, None, 5], "generator": [None, None, "m@1"]}  # fmt: skip
    folder = tmp_path / "balanced"
    make_parquet(folder / "data/train.parquet", {"cat": 3, "dog": 3}, groups=columns)
    put(hub, folder)
    train = analyzed(alice("analyze", ID, "--json"))["splits"]["train"]
    assert train["synthetic"]["class_counts"] == {"cat": 1, "dog": 1}
    assert "real" in alice("analyze", ID).out


def test_analyze_transfers_at_most_two_percent(alice, hub, tmp_path):
    """Shards of many row groups and incompressible images, as large datasets have them."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "large"
    folder.mkdir()
    for shard in range(2):
        images = [{"bytes": rng.bytes(50_000), "path": None} for _ in range(200)]
        labels = pa.array([row % 3 for row in range(200)], pa.int64())
        table = pa.table({"image": pa.array(images, IMAGE_TYPE), "label": labels})
        noted = {"label": {"names": ["a", "b", "c"], "_type": "ClassLabel"}}
        table = table.replace_schema_metadata(
            {"huggingface": json.dumps({"info": {"features": noted}})}
        )
        pq.write_table(table, folder / f"train-0000{shard}-of-00002.parquet", row_group_size=100)
    size = sum(path.stat().st_size for path in folder.iterdir())
    put(hub, folder)
    found = analyzed(alice("analyze", ID, "--json"))
    assert found["splits"]["train"]["class_counts"] == {"a": 134, "b": 134, "c": 132}
    assert 0 < sum(hub.served.values()) <= 0.02 * size


def test_splits_licence_and_commit(alice, pets):
    found = analyzed(alice("analyze", ID, "--split", "all", "--json"))
    counts = {name: split["class_counts"] for name, split in found["splits"].items()}
    assert counts == {"train": {"cat": 6, "dog": 3}, "test": {"cat": 1, "dog": 1}}
    assert found["revision"] == pets.refs["refs/heads/main"]


def test_a_revision_pins(alice, hub, pets, tmp_path):
    first = pets.refs["refs/heads/main"]
    pets.refs["refs/tags/v1"] = first
    pets.commit("refs/heads/main", {}, "emptied")
    for revision in ("v1", first):
        found = analyzed(alice("analyze", f"{ID}@{revision}", "--json"))
        assert found["revision"] == first
    ran = alice("analyze", f"{ID}@v9")
    assert ran.code == 1
    assert f"'{ID}' has no revision 'v9'" in ran.err


def test_class_names_that_only_the_card_tells(alice, hub, tmp_path):
    folder = tmp_path / "bare"
    make_parquet(folder / "train.parquet", {"x": 2, "y": 1}, labels="int")
    (folder / "README.md").write_text(CARD)
    put(hub, folder)
    found = analyzed(alice("analyze", ID, "--json"))
    assert found["splits"]["train"]["class_counts"] == {"cat": 2, "dog": 1}
    assert analyzed(alice("analyze", folder, "--json"))["splits"] == found["splits"]


def test_configurations_of_the_card(alice, hub, tmp_path):
    folder = tmp_path / "configs"
    for name, count in (("big", 4), ("small", 2)):
        make_parquet(folder / f"{name}/part.parquet", {"a": count, "b": 1})
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: big\n  data_files: big/*\n"
        "- config_name: small\n  data_files: small/*\n---\n"
    )
    put(hub, folder)
    ran = alice("analyze", ID)
    assert ran.code == 2 and "big, small" in ran.err
    found = analyzed(alice("analyze", ID, "--config", "small", "--json"))
    assert found["splits"]["train"]["class_counts"] == {"a": 2, "b": 1}


def test_the_conversion_is_read_where_there_is_one(alice, hub, tmp_path):
    repo = put(hub, make_imagefolder(tmp_path / "folder", {"cat": 3, "dog": 1}))
    buffer = io.BytesIO()
    pq.write_table(make_table({"cat": 3, "dog": 1}), buffer)
    files = {"default/train/0000.parquet": hub.store.add(buffer.getvalue(), lfs=True)}
    repo.commit("refs/convert/parquet", files, "convert")
    found = analyzed(alice("analyze", ID, "--json"))
    assert found["splits"]["train"]["class_counts"] == {"cat": 3, "dog": 1}
    assert found["revision"] == repo.refs["refs/convert/parquet"]


def test_what_is_not_parquet_is_loaded_whole_and_says_so(alice, hub, tmp_path):
    folder = make_imagefolder(tmp_path / "folder", {"train": {"cat": 3, "dog": 1}})
    put(hub, folder)
    ran = alice.apart("analyze", ID, "--json")
    assert analyzed(ran)["splits"]["train"]["class_counts"] == {"cat": 3, "dog": 1}
    assert "isn't stored as Parquet: all of it is downloaded (3." in ran.err


def test_a_card_that_names_other_files_than_the_parquet_ones(alice, hub, tmp_path):
    folder = make_imagefolder(tmp_path / "folder", {"train": {"cat": 3, "dog": 1}})
    make_parquet(folder / "extra/scores.parquet", {"x": 1})
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n"
        "    path: train/**\n---\n"
    )
    put(hub, folder)
    found = analyzed(alice.apart("analyze", ID, "--json"))
    assert found["splits"]["train"]["class_counts"] == {"cat": 3, "dog": 1}


def test_private_datasets(alice, hub, pets, tmp_path):
    pets.private = True
    for client in (alice, replace(alice, token=None)):
        ran = client("analyze", ID)
        assert ran.code == 1
        assert "or it is private" in ran.err and "hf auth login" in ran.err
        assert "you are not logged in" not in ran.err  # alice is
    bob = replace(alice, folder=tmp_path / "bob", token="hf_secretOfBob")
    assert bob("analyze", ID).code == 0


def test_gated_datasets(alice, pets):
    pets.gated = True
    ran = alice("analyze", ID)
    assert ran.code == 1
    assert "is gated" in ran.err and f"/datasets/{ID}" in ran.err


def test_what_is_not_there(alice, hub):
    ran = alice("analyze", "bob/cats")
    assert ran.code == 1
    assert "There is no dataset 'bob/cats'" in ran.err
    ran = replace(alice, token="hf_oldToken")("analyze", ID)
    assert ran.code == 1
    assert "doesn't accept the token" in ran.err


def test_a_hub_that_is_down(alice, hub, pets):
    hub.faults.append(Fault("/api/datasets", "503"))
    ran = alice("analyze", ID)
    assert ran.code == 1
    assert "answered with status 503" in ran.err
    hub.faults[0].kind = "cut"
    ran = alice("analyze", ID)
    assert ran.code == 1
    assert "can't be reached" in ran.err


@pytest.mark.parametrize("kind", ["503", "429", "cut"])
def test_a_hub_that_is_busy(alice, hub, pets, kind):
    for request in ("GET /api/datasets/bob/pets", "/tree/", "HEAD .*README.md", "GET .*parquet"):
        hub.faults.append(Fault(request, kind, times=2, seconds=1))
    found = analyzed(alice("analyze", ID, "--json"))
    assert found["splits"]["train"]["class_counts"] == {"cat": 6, "dog": 3}
    assert [fault.done for fault in hub.faults] == [2, 2, 2, 2]


def test_a_damaged_file_is_named(alice, hub, pets):
    pets.commit("refs/heads/main", {"train.parquet": hub.store.add(b"PAR1 no", lfs=True)}, "bad")
    ran = alice("analyze", ID)
    assert ran.code == 1
    assert f"{ID}/train.parquet can't be read as Parquet" in ran.err


def test_balance_downloads_once_and_goes_on_without_a_connection(alice, hub, pets, sd_model):
    arguments = ("balance", ID, "--model", sd_model, "--steps", 1, "--size", 32)
    ran = alice(*arguments)
    assert ran.code == 0, ran.err
    record = json.loads((alice.folder / "pets-balanced/synfill/run.json").read_text())
    assert record["source"] == {
        "name": "pets", "id": ID, "revision": pets.refs["refs/heads/main"], "licence": "mit",
    }  # fmt: skip
    downloads = [r for r in hub.requests if r.startswith("GET") and "/resolve/" in r]
    assert sum("-> 200" in request for request in downloads) == 4
    before = len(hub.requests)
    again = alice(*arguments, HF_HUB_OFFLINE="1")
    assert again.code == 0, again.err
    assert "Nothing to do" in again.out
    assert len(hub.requests) == before


LOAD = """
import collections, datasets, hashlib, json, sys
source, pushed = sys.argv[1:]

def images(id):
    return {
        name: part.cast_column("image", datasets.Image(decode=False)).to_list()
        for name, part in datasets.load_dataset(id).items()
    }

digest = lambda row: hashlib.sha256(row["image"]["bytes"]).hexdigest()
before, after = images(source), images(pushed)
cells = collections.Counter((r["label"], r["place"]) for r in after["train"])
features = datasets.load_dataset_builder(pushed).info.features
streamed = datasets.load_dataset(pushed, split="train", streaming=True)
print(json.dumps({
    "same": [
        [digest(r) for r in rows] == [digest(r) for r in after[split] if not r["synthetic"]]
        for split, rows in before.items()
    ],
    "cells": sorted(cells.values()),
    "names": features["label"].names,
    "columns": list(features),
    "streamed": sum(row["image"].size == (16, 16) for row in streamed),
}))
"""


def test_the_whole_session(alice, hub, sd_model, tmp_path, forker):
    """Analyze, balance with a push that is killed amid faults, the same again, load."""
    folder = tmp_path / "source"
    for split, counts in {"train": {"cat": 5, "sea otter": 2}, "test": {"cat": 1}}.items():
        path = folder / f"data/{split}-00000-of-00001.parquet"
        make_parquet(path, {"sea otter": 0} | counts, groups={"place": ["land", "water"]})
    (folder / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n")
    put(hub, folder)
    found = analyzed(alice("analyze", ID, "--group", "place", "--json"))
    assert found["splits"]["train"]["class_counts"] == {"sea otter": 2, "cat": 5}

    command = (
        "balance", ID, "--by", "class+place", "--model", sd_model, "--steps", 1, "--size", 32,
        "--push-to-hub", "--private",
    )  # fmt: skip
    hub.faults += [Fault("^(POST|PUT)", "503", every=4), Fault("PUT /lfs", "slow", seconds=0.5)]
    uploading = threading.Event()
    hub.before = lambda request: uploading.set() if request.startswith("PUT /lfs") else None
    process = alice.start(*command)
    assert uploading.wait(120)
    process.kill()
    process.communicate()
    id = "alice/pets-balanced"
    assert set(hub.files(id)) == {".gitattributes"}
    hub.before = lambda request: None
    hub.faults.append(Fault("/commit/", "lost", times=1))
    ran = alice(*command)
    assert ran.code == 0, ran.err
    assert "will be private" in ran.err or "is private" in ran.err
    said = " ".join(ran.out.split())
    assert "Nothing to do" in said and "sizes and hashes were compared" in said
    repo = hub.store.repos[id]
    assert repo.private and len(repo.titles) == 2 and repo.empty_commits == 0
    card = hub.files(id)["README.md"].decode()
    for words in ("license: cc-by-4.0", f"huggingface.co/datasets/{ID}", "synthetic.**"):
        assert words in card
    assert not any(b"secretOfAlice" in data for data in hub.files(id).values())
    assert b"push" not in hub.files(id)["synfill/run.json"]

    hub.faults.clear()
    environment = hub.environment(tmp_path / "fresh", alice.token)
    loaded = forker.run([ID, id], code=LOAD, environment=environment)
    assert loaded.returncode == 0, loaded.stderr
    assert json.loads(loaded.stdout) == {
        "same": [True, True],
        "cells": [3, 3, 3, 3],
        "names": ["sea otter", "cat"],
        "columns": ["image", "label", "place", "synthetic", "prompt", "seed", "generator"],
        "streamed": 12,
    }


def test_a_bad_token_is_found_before_anything_is_made(hub, alice, pets, sd_model):
    reader = replace(alice, token="hf_oldToken")
    source = make_imagefolder(alice.folder / "photos", {"cat": 3, "dog": 1})
    command = ("balance", source, "--model", sd_model, "--push-to-hub")
    ran = reader(*command)
    assert ran.code == 1
    assert "doesn't accept the token" in ran.err
    assert not (alice.folder / "photos-balanced").exists()
    ran = alice(*command, "--repo-id", "bob/pets")
    assert ran.code == 2
    assert "who can't write to bob/pets" in ran.err
    assert alice("balance", source, "--repo-id", "x").code == 2
    for option, value, words in (
        ("--hub-revision", "a..b", "can't be the name of a branch"),
        ("--hub-revision", "", "is empty"),
        ("--commit-message", " ", "message is blank"),
        ("--repo-id", "hf_secretOfAlice", "looks like an access token"),
    ):
        ran = alice(*command, option, value)
        assert ran.code == 2 and words in ran.err, ran.err
    assert not (alice.folder / "photos-balanced").exists()
