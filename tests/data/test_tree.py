import os
import sys

import pytest

from synfill.data.tree import read_tree
from synfill.errors import RunError


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def link(target, path):
    try:
        path.symlink_to(target, target_is_directory=True)
    except OSError:
        pytest.skip("no symbolic links here")


def test_lists_folders_and_files_without_the_hidden(tmp_path):
    touch(tmp_path, "a/1.png", "a/b/2.png", ".git/x", "__MACOSX/y", "a/.DS_Store", "a/Thumbs.db")
    tree = read_tree(tmp_path)
    assert tree.folders == {"": [], "a": ["1.png"], "a/b": ["2.png"]}
    assert tree.children("") == ["a"]
    assert sorted(tree.files(".png")) == ["a/1.png", "a/b/2.png"]


def test_our_own_records_are_no_data(tmp_path):
    touch(tmp_path, "synfill/plan.parquet", "a/1.png")
    assert set(read_tree(tmp_path).folders) == {"", "a"}


def test_a_class_may_be_called_synfill(tmp_path):
    touch(tmp_path, "synfill/1.png")
    assert "synfill" in read_tree(tmp_path).folders


def test_links_to_folders_are_followed(tmp_path):
    touch(tmp_path, "elsewhere/1.png")
    data = tmp_path / "data"
    data.mkdir()
    link(tmp_path / "elsewhere", data / "cat")
    assert read_tree(data).folders["cat"] == ["1.png"]


def test_loops_of_links_end(tmp_path):
    touch(tmp_path, "data/a/1.png", "data/b/2.png")
    data = tmp_path / "data"
    link(data, data / "a" / "up")
    link(tmp_path, data / "a" / "above")
    link(data / "b", data / "a" / "to-b")
    link(data / "a", data / "b" / "to-a")
    tree = read_tree(data)
    assert tree.folders["a/to-b"] == ["2.png"]
    assert len(tree.folders) < 10
    assert any("a/up" in note for note in tree.notes)


@pytest.mark.skipif(sys.platform == "win32", reason="permissions differ")
def test_a_folder_without_permission_is_named(tmp_path):
    touch(tmp_path, "closed/1.png")
    (tmp_path / "closed").chmod(0)
    if os.access(tmp_path / "closed", os.R_OK):
        pytest.skip("this user may read everything")
    try:
        with pytest.raises(RunError, match="closed"):
            read_tree(tmp_path)
    finally:
        (tmp_path / "closed").chmod(0o700)
