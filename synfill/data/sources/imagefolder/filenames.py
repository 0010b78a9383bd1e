"""Which image file a value in a table means: with or without folders and extension. Pure.

Only files that were listed can be meant: no value of a table is ever opened as a path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from synfill.data.sources.imagefolder.metadata import plain_path
from synfill.data.tree import join


def _below_another_root(value: str) -> str | None:
    """A whole path of the machine that a table was written on, without its root: it may end as a
    listed file does.
    """
    slashed = value.replace("\\", "/")
    root = re.match(r"([A-Za-z]:)?/+", slashed)
    return plain_path(slashed[root.end() :]) if root is not None else None


def _are_alike(path: str, plain: str) -> bool:
    """Whether a file's path, with or without extension, ends as a value does, or the other way."""
    ends = f"/{plain}"
    return any(
        f"/{one}".endswith(ends) or ends.endswith(f"/{one}")
        for one in (path, path.rpartition(".")[0])
    )


class FileNames:
    """The image files below a folder, found by what tables call them.

    Args:
        paths: Their paths below the folder.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = set(paths)
        self._by_name: dict[str, list[str]] = {}
        self._by_stem: dict[str, list[str]] = {}
        self.folders = frozenset(name for path in self._paths for name in path.split("/")[:-1])
        """The names of the folders that they are in."""
        for path in self._paths:
            name = path.rpartition("/")[2]
            self._by_name.setdefault(name, []).append(path)
            self._by_stem.setdefault(name.rpartition(".")[0], []).append(path)

    def find(
        self, value: str, folders: Sequence[str], prefer: Callable[[str], bool] | None = None
    ) -> list[str]:
        """The files that a value may mean, sorted: none, one, or several where it isn't clear.

        Args:
            value: What the table says.
            folders: Folders that a path may start from, in the order in which they are tried.
            prefer: Which of several files of one name is meant, if exactly one of them is so.
        """
        plain = plain_path(value) or _below_another_root(value)
        if plain is None:
            return []
        for folder in folders:
            if (path := join(folder, plain)) in self._paths:
                return [path]
        name = plain.rpartition("/")[2]
        found = self._by_name.get(name) or self._by_stem.get(name) or []
        if "/" in plain and len(found) > 1:
            # Those whose folders are called as the value says, if any.
            found = [path for path in found if _are_alike(path, plain)] or found
        if len(found) > 1 and prefer is not None:
            found = [path for path in found if prefer(path)] or found
        return sorted(found)

    def examples(self) -> str:
        """A few of the files, for a message."""
        return ", ".join(sorted(self._paths)[:2])
