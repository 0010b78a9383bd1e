import os
from pathlib import Path

import pytest

from synfill.errors import RunError
from synfill.reading import NotRegular, check_json_lines, parse_json, read_regular, regular, within


def test_reads_a_regular_file_and_through_a_link(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "link").symlink_to("a")
    assert read_regular(tmp_path / "a") == read_regular(tmp_path / "link") == b"abc"
    assert read_regular(tmp_path / "a", largest=3) == b"abc"
    with pytest.raises(OSError, match="larger than 2 bytes"):
        read_regular(tmp_path / "a", largest=2)


def test_a_pipe_is_not_waited_for_and_a_device_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("pipe", "zero"):
        for read in (read_regular, regular):
            with pytest.raises(NotRegular):
                read(tmp_path / name)
    with pytest.raises(OSError):
        read_regular(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "missing")


def test_json_has_a_limit_of_depth():
    assert parse_json(b'\xef\xbb\xbf{"a": ["[[[", "\\"[", 1]}') == {"a": ["[[[", '"[', 1]}
    assert parse_json("[" * 100 + "]" * 100) is not None
    for text in ("[" * 101 + "]" * 101, '{"a":' * 100_000 + "1" + "}" * 100_000, b"\xff", "{"):
        with pytest.raises(ValueError):
            parse_json(text)


def test_json_lines_have_a_limit_of_depth():
    flat = b'{"a": "' + b"[" * 200 + b'"}\n\n{"b": [{"c": 1}]}\n'
    check_json_lines(flat)
    # Whether on one line, on many, or hidden between lines that look whole.
    for text in (b'{"a":' * 101 + b"1" + b"}" * 101, b'{"a":\n' * 101, flat + b"[\n" * 101):
        with pytest.raises(ValueError, match="deep"):
            check_json_lines(text)


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "..", ".", "", "a\0b", "link/x"])
def test_nothing_leaves_the_folder(tmp_path, name):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    with pytest.raises(RunError):
        within(folder, name)


def test_names_below_the_folder_are_taken(tmp_path):
    folder = tmp_path / "out"
    assert within(folder, "data", "train.parquet") == folder / "data" / "train.parquet"
    assert within(folder, "a/b") == folder / "a/b"
    (tmp_path / "real").mkdir()
    (tmp_path / "linked").symlink_to("real")
    # The folder itself may be a link: it is what the user named.
    assert within(tmp_path / "linked", "x") == tmp_path / "linked" / "x"
    assert within(Path("relative"), "x") == Path("relative/x")


def test_a_limit_takes_no_memory(tmp_path):
    """Not even one that is larger than the machine's."""
    (tmp_path / "a").write_bytes(b"x" * 5_000_000)
    assert read_regular(tmp_path / "a", 1 << 60) == b"x" * 5_000_000
