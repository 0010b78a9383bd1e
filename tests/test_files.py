import itertools
import os
import string

import pytest
import yaml

from synfill.errors import RunError, UsageError
from synfill.files import (
    atomic_write,
    format_yaml,
    parse_yaml,
    read_yaml,
    recipes_folder,
    safe_name,
)

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


def test_yaml_as_people_write_it(tmp_path):
    path = tmp_path / "f.yaml"
    path.write_text("lr: 3e-4\nno: yes\ncode: 007\non: 1.5\nflag: true\nday: 2020-01-01\nn: -3\n")
    assert read_yaml(path, "a file") == {
        "lr": 3e-4, "no": "yes", "code": "007", "on": 1.5, "flag": True, "day": "2020-01-01",
        "n": -3,
    }  # fmt: skip


def test_every_key_has_its_line():
    text = (
        "a: 1\nb:\n  - c: 2\n    d: 3\n  - 4\nbase: &base {x: 1, y: 2}\ne:\n  <<: *base\n  x: 5\n"
    )
    document = parse_yaml(text, "here")
    assert document.content["e"] == {"x": 5, "y": 2}
    lines = {".".join(path): line for path, line in document.lines.items()}
    assert lines == {
        "a": 1, "b": 2, "b.0": 3, "b.0.c": 3, "b.0.d": 4, "b.1": 5, "base": 6, "base.x": 6,
        "base.y": 6, "e": 7, "e.x": 9, "e.y": 6,
    }  # fmt: skip


def test_what_is_written_reads_back_in_yaml_of_both_versions():
    content = {
        "words": ["3e-4", "no", "007", "1.5", "null", "true", "2020-01-01", "a: b", "ü", ""],
        "numbers": [3e-4, 1e-05, 10, 1.0, True, None],
    }
    text = format_yaml(content)
    assert parse_yaml(text, "here").content == content == yaml.safe_load(text)


LAUGHS = "a: &a [x, x, x, x, x, x, x, x]\n" + "".join(
    f"{after}: &{after} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, after in itertools.pairwise("abcdefghij")
)


MERGES = "a: &a {k1: 1, k2: 2, k3: 3}\n" + "".join(
    f"{after}: &{after} {{<<: [{', '.join([f'*{before}'] * 9)}]}}\n"
    for before, after in itertools.pairwise("abcdefghi")
)


@pytest.mark.parametrize(
    "text",
    ["a: 1\na: 2", "a: [1", "!!python/object:os.system x", "a: *b", "a: &a [*a]", "[" * 2000,
     "a: !!int x", "a: !!bool x", "a: !!timestamp x", "a: " + "9" * 5000, LAUGHS, "? [a]\n: b",
     LAUGHS + "? *j\n: 1", MERGES, "a: !!int ''",
     "[" * 5000, "{a: " * 5000, "- " * 5000, "? " * 5000],
)  # fmt: skip
def test_wrong_yaml_is_refused(tmp_path, text):
    path = tmp_path / "f.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"f\.yaml"):
        read_yaml(path, "a file")


def test_yaml_in_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "f.yaml")
    with pytest.raises(UsageError, match="it is a pipe"):
        read_yaml(tmp_path / "f.yaml", "a file")


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
