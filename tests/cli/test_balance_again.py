"""A `balance` that was done before, and one that only asks: no image is decoded for nothing."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets_fixtures import image_bytes, make_imagefolder, make_parquet

from synfill.data import images, stamp

FAST = ("--steps", 2, "--batch-size", 4)
COUNTS = {"train": {"cat": 5, "sea otter": 2}, "test": {"cat": 1, "sea otter": 1}}


@pytest.fixture
def settled(monkeypatch):
    """Files that were made a moment ago count as old."""
    monkeypatch.setattr(stamp, "SETTLED", 0)


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """The user's cache folder, empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/synfill/inspections"


@pytest.fixture
def decoded(monkeypatch):
    """Counts the images that are decoded."""
    seen = []
    look_at = images._look_at

    def count(data):
        seen.append(len(data or b""))
        return look_at(data)

    monkeypatch.setattr(images, "_look_at", count)
    return seen


def make_saved(path):
    import datasets

    loaded = datasets.load_dataset("imagefolder", data_dir=str(make_imagefolder(path, COUNTS)))
    loaded.save_to_disk(str(path.with_name("saved")))
    return path.with_name("saved")


@pytest.mark.parametrize("kind", ["folder", "parquet", "saved"])
def test_a_finished_run_is_recognized_without_decoding(
    cli, sd_model, tmp_path, settled, cache, decoded, kind
):
    make = {"folder": make_imagefolder, "parquet": make_parquet}
    source = (
        make_saved(tmp_path / "photos")
        if kind == "saved"
        else make[kind](tmp_path / "photos", COUNTS)
    )
    command = ("balance", source, "--model", sd_model, *FAST, "--out", "o")
    assert cli(*command).code == 0
    assert len(decoded) == 9  # each once
    again = cli(*command)
    assert again.code == 0 and "Nothing to do" in again.out
    assert len(decoded) == 9
    assert "checking images" not in again.err


def test_files_of_a_moment_ago_are_not_trusted(cli, sd_model, tmp_path, cache, decoded):
    photos = make_imagefolder(tmp_path / "photos", COUNTS)
    command = ("balance", photos, "--model", sd_model, *FAST)
    assert cli(*command).code == 0
    assert not cache.exists()
    assert "Nothing to do" in cli(*command).out
    assert len(decoded) == 18


def test_a_changed_image_is_seen_whatever_its_time_and_size(
    cli, sd_model, tmp_path, settled, cache
):
    photos = make_imagefolder(tmp_path / "photos", COUNTS, format="BMP")
    command = ("balance", photos, "--model", sd_model, *FAST)
    assert cli(*command).code == 0
    victim = photos / "train/cat/0.bmp"
    before = victim.stat()
    victim.write_bytes(image_bytes(99, format="BMP"))
    os.utime(victim, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert victim.stat().st_size == before.st_size
    again = cli(*command)
    assert again.code == 2 and "source content" in again.err


def test_images_beside_a_parquet_file_are_looked_at_too(cli, sd_model, tmp_path, settled, cache):
    root = tmp_path / "p"
    (root / "images").mkdir(parents=True)
    for number in range(3):
        (root / f"images/{number}.png").write_bytes(image_bytes(number))
    paths = [{"bytes": None, "path": f"images/{number}.png"} for number in range(3)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array(paths, kind), "label": ["cat", "cat", "dog"]})
    pq.write_table(table, root / "train.parquet")
    command = ("balance", root, "--model", sd_model, *FAST, "--out", "o")
    assert "To make: 1 image." in cli(*command, "--dry-run").out
    assert cli(*command).code == 0
    assert "Nothing to do" in cli(*command).out
    (root / "images/2.png").write_bytes(image_bytes(77))
    again = cli(*command)
    assert again.code == 2 and "source content" in again.err


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: data[:-1] + b"\0",
     lambda data: b"\x80\x04" + data, lambda data: data + data],
)  # fmt: skip
def test_a_damaged_memory_is_no_memory(cli, sd_model, tmp_path, settled, cache, decoded, damage):
    photos = make_imagefolder(tmp_path / "photos", COUNTS)
    command = ("balance", photos, "--model", sd_model, *FAST)
    assert cli(*command).code == 0
    for file in cache.iterdir():
        file.write_bytes(damage(file.read_bytes()))
    assert "Nothing to do" in cli(*command).out
    # What stands behind the end of the data does no harm.
    assert len(decoded) in (9, 18)


def test_other_settings_are_refused_before_an_image_is_read(
    cli, sd_model, tmp_path, cache, decoded
):
    photos = make_imagefolder(tmp_path / "photos", COUNTS)
    command = ("balance", photos, "--model", sd_model, "--batch-size", 4)
    assert cli(*command, "--steps", 2).code == 0
    del decoded[:]
    other = cli(*command, "--steps", 3)
    assert other.code == 2 and "steps: 2 -> 3" in other.err
    assert decoded == []


@pytest.mark.parametrize("policy", ["error", "skip"])
def test_a_dry_run_reads_no_image_and_says_so(cli, sd_model, tmp_path, decoded, policy):
    photos = make_imagefolder(tmp_path / "photos", COUNTS)
    (photos / "train/cat/bad.png").write_bytes(b"hello")
    options = ("--model", sd_model, *FAST, "--dry-run", "--on-bad-image", policy)
    ran = cli("balance", photos, *options)
    assert ran.code == 0, ran.err
    assert "The images themselves are checked when the run starts." in ran.out
    assert "skipped.csv" not in ran.out + ran.err
    assert decoded == []
    size = sum(path.stat().st_size for path in photos.rglob("*.png"))
    assert f"Disk: about {size * 14 / 10 / 1000:.1f} kB for the dataset" in ran.out


def test_bad_images_are_remembered_and_still_told(cli, sd_model, tmp_path, settled, cache, decoded):
    photos = make_imagefolder(tmp_path / "photos", COUNTS)
    (photos / "train/cat/bad.png").write_bytes(b"hello")
    command = ("balance", photos, "--model", sd_model, *FAST)
    refused = cli(*command)
    assert refused.code == 1 and "1 of 10 images can't be read" in refused.err
    assert len(decoded) == 10
    again = cli(*command)
    assert again.code == 1 and refused.err.endswith(again.err)
    ran = cli(*command, "--on-bad-image", "skip")
    assert ran.code == 0 and "bad.png (not an image) can't be read and is left out" in ran.err
    assert "bad.png" in Path("photos-balanced/synfill/skipped.csv").read_text()
    assert "Nothing to do" in cli(*command, "--on-bad-image", "skip").out
    assert len(decoded) == 10
