import os
import string

import pytest

from synfill.errors import RunError
from synfill.files import atomic_write, recipes_folder, safe_name

HOSTILE = ["../x", "..", ".", "", "/etc/passwd", "a/b", "a\\b", "C:\\x", "con", "NUL.txt", " ", "~",
           "a\0b", "a\nb", "-rf", "x" * 500, "ü" * 200, "日本語", "🐈", "‮gpj", "a.", ".hidden",
           "e\u0301"]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_names_from_data_stay_one_part_of_a_path(tmp_path, name):
    safe = safe_name(name)
    path = (tmp_path / safe).resolve()
    assert path.parent == tmp_path.resolve()
    assert not safe.startswith(".") and safe.upper() not in ("CON", "NUL")
    path.mkdir()
    assert os.listdir(tmp_path)


def test_different_names_stay_different():
    names = [*HOSTILE, "a_b", "a b", "cat", *string.punctuation]
    assert len({safe_name(name) for name in names}) == len(set(names))


def test_ordinary_names_stay_as_they_are():
    for name in ("cat", "sea otter", "T-shirt", "日本語", "n01440764", "St. Bernard"):
        assert safe_name(name) == name


def test_a_file_is_there_whole_or_not_at_all(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), atomic_write(path) as file:
        file.write(b"new")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["f"]
    with atomic_write(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_what_lies_at_the_temporary_name_is_not_written_through(tmp_path, kind):
    victim, left = tmp_path / "victim", tmp_path / ".f.tmp"
    victim.write_bytes(b"mine")
    if kind == "pipe":
        os.mkfifo(left)
    else:
        left.symlink_to(victim)
    with atomic_write(tmp_path / "f") as file:
        file.write(b"new")
    assert (tmp_path / "f").read_bytes() == b"new"
    assert victim.read_bytes() == b"mine" and not os.path.lexists(left)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's /dev/full")
def test_a_full_disk_is_told(tmp_path):
    from synfill.files import no_room

    told = pytest.raises(RunError, match="disk is full")
    with told, no_room(tmp_path), open("/dev/full", "wb", buffering=0) as file:
        file.write(b"x")


def test_recipes_are_found():
    assert recipes_folder().is_dir()
    assert any(recipes_folder().glob("*.yaml"))
