import json
import zlib
from hashlib import blake2b

import numpy as np
import pytest
from datasets_fixtures import make_imagefolder

from synfill.data import remembered
from synfill.data.images import BadRow, Inspection, inspect_split
from synfill.data.remembered import InspectionMemory
from synfill.data.source import open_source
from synfill.files import user_cache
from synfill.records import ImageProfile

ROWS = np.array([3, 5, 6, 9])
FOUND = Inspection(
    (
        ImageProfile("JPEG", "RGB", (4, 5), (tuple(range(64)), (1,) * 64), 2, progressive=True),
        ImageProfile("PNG", "L", (4, 5)),
        ImageProfile("JPEG", "RGB", (8, 5), (tuple(range(64)), (1,) * 64), 2),
    ),
    np.array([0, -1, 2, 1], dtype=np.int32),
    (BadRow(5, "a/\udcff.png", "truncated"),),
    "0f" * 16,
    1234,
)


def same(one, other):
    return (
        (one.profiles, one.bad, one.digest, one.bytes)
        == (other.profiles, other.bad, other.digest, other.bytes)
        and one.codes.dtype == other.codes.dtype
        and np.array_equal(one.codes, other.codes)
    )


def test_what_is_kept_is_recalled_for_the_same_rows_only(tmp_path):
    memory = InspectionMemory(tmp_path)
    memory.keep("stamp", "train", ROWS, FOUND)
    assert same(memory.recall("stamp", "train", ROWS), FOUND)
    assert memory.recall("other", "train", ROWS) is None
    assert memory.recall("stamp", "test", ROWS) is None
    assert memory.recall("stamp", "train", ROWS + 1) is None
    assert memory.recall(None, "train", ROWS) is None


def test_real_images(tmp_path):
    source = open_source(str(make_imagefolder(tmp_path / "x", {"a": 2, "b": 1}, format="JPEG")))
    memory, rows = InspectionMemory(tmp_path / "memory"), np.arange(3)
    found = inspect_split(source, "train")
    memory.keep("s", "train", rows, found)
    assert same(memory.recall("s", "train", rows), found)


def forge(change):
    packed = remembered._pack(FOUND)
    data = zlib.decompress(packed[len(remembered._MARK) + 16 :])
    head, _, codes = data.partition(b"\n")
    head, codes = change(json.loads(head), codes)
    data = json.dumps(head).encode() + b"\n" + codes
    return remembered._MARK + blake2b(data, digest_size=16).digest() + zlib.compress(data)


FORGED = {
    "a code without a profile": lambda head, codes: (head, codes[:-4] + b"\x07\0\0\0"),
    "too few codes": lambda head, codes: (head, codes[:-4]),
    "half a code": lambda head, codes: (head, codes + b"\0"),
    "another bad row": lambda head, codes: (head | {"bad": [[6, "x", "y"]]}, codes),
    "no bad row": lambda head, codes: (head | {"bad": []}, codes),
    "a wrong digest": lambda head, codes: (head | {"digest": "../x"}, codes),
    "a text for a number": lambda head, codes: (head | {"bytes": "many"}, codes),
    "negative": lambda head, codes: (head | {"bytes": -1}, codes),
    "no tables": lambda head, codes: (head | {"tables": []}, codes),
    "a short table": lambda head, codes: (head | {"tables": [[[1]]]}, codes),
    "a list": lambda head, codes: ([], codes),
    "a key more": lambda head, codes: (head | {"x": 1}, codes),
    "no size": lambda head, codes: (
        head | {"profiles": [p | {"size": [0, 4]} for p in head["profiles"]]}, codes
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_what_somebody_else_wrote_there_is_not_believed(tmp_path, name):
    memory = InspectionMemory(tmp_path)
    memory.keep("s", "train", ROWS, FOUND)
    (file,) = tmp_path.iterdir()
    file.write_bytes(forge(FORGED[name]))
    assert memory.recall("s", "train", ROWS) is None
    memory.keep("s", "train", ROWS, FOUND)
    assert same(memory.recall("s", "train", ROWS), FOUND)


def test_a_bomb_in_it_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(remembered, "_MOST_CONTENT", 1000)
    memory = InspectionMemory(tmp_path)
    memory.keep("s", "train", ROWS, FOUND)
    (file,) = tmp_path.iterdir()
    data = bytes(1 << 20)
    digest = blake2b(data, digest_size=16).digest()
    file.write_bytes(remembered._MARK + digest + zlib.compress(data))
    assert memory.recall("s", "train", ROWS) is None


def test_what_was_not_used_for_longest_goes(tmp_path, monkeypatch):
    monkeypatch.setattr(remembered, "MOST_FILES", 3)
    memory = InspectionMemory(tmp_path)
    for number in range(3):
        memory.keep(f"s{number}", "train", ROWS, FOUND)
    assert memory.recall("s0", "train", ROWS) is not None
    memory.keep("s3", "train", ROWS, FOUND)
    assert len(list(tmp_path.iterdir())) == 3
    assert memory.recall("s1", "train", ROWS) is None
    assert memory.recall("s0", "train", ROWS) is not None


def test_a_folder_that_takes_nothing_is_no_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    memory = InspectionMemory(tmp_path / "file" / "x")
    memory.keep("s", "train", ROWS, FOUND)
    assert memory.recall("s", "train", ROWS) is None


def test_where_it_lies(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache() == tmp_path / "synfill"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_cache() == tmp_path / ".cache/synfill"
