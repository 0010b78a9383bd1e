"""Which image files a user means by some files and folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from synfill.data.tree import IMAGE_EXTENSIONS, join, read_tree
from synfill.errors import UsageError
from synfill.names import natural_key


def find_images(paths: Sequence[Path]) -> list[Path]:
    """Files as they are named, whatever they are; in a folder, all image files below it, sorted.

    Raises:
        UsageError: A path isn't there, or there is no image at all.
        RunError: A folder can't be read.
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            if not path.exists():
                raise UsageError(f"There is no file or folder {path}.")
            found.append(path)
            continue
        tree = read_tree(path)
        names = [
            join(folder, name)
            for folder, files in tree.folders.items()
            for name in files
            if name.rpartition(".")[2].lower() in IMAGE_EXTENSIONS
        ]
        found += [path / name for name in sorted(names, key=natural_key)]
    if not found:
        raise UsageError("There is no image in what was given.", "Give image files or folders.")
    return found
