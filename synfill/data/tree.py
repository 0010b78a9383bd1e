"""A folder's files, listed in one pass without asking the file system about each of them."""

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from synfill.errors import RunError

# fmt: off
IMAGE_EXTENSIONS = frozenset({
    "apng", "avif", "bmp", "bw", "dds", "dib", "gif", "icns", "ico", "j2c", "j2k", "jfif",
    "jp2", "jpc", "jpe", "jpeg", "jpf", "jpg", "jpx", "mpo", "pbm", "pcx", "pgm", "png",
    "pnm", "ppm", "qoi", "rgb", "rgba", "sgi", "tga", "tif", "tiff", "webp",
})
# fmt: on
# What macOS, Windows and storage boxes leave in folders.
_IGNORED = frozenset(
    {"__MACOSX", "Thumbs.db", "desktop.ini", "@eaDir", "$RECYCLE.BIN", "System Volume Information"}
)
_OWN_RECORDS = frozenset({"run.json", "plan.parquet"})


@dataclass(frozen=True)
class Tree:
    """What is in a folder.

    Attributes:
        root: The folder.
        folders: For every folder below (and "" for the root itself) the names of the files in
            it, unsorted; a folder is named by its path below the root with '/' between.
            Hidden files and folders are left out.
        hidden: Hidden folders, with the names of the files directly in them.
        notes: Links that were not followed, and other folders left out, as sentences.
    """

    root: Path
    folders: dict[str, list[str]]
    hidden: dict[str, list[str]]
    notes: tuple[str, ...]

    @property
    def holds_images(self) -> bool:
        """Whether there is an image file in it."""
        return any(image_names(self.folders).values())

    def children(self, folder: str) -> list[str]:
        """The folders directly below one, sorted: their names without the path."""
        prefix = f"{folder}/" if folder else ""
        below = (name[len(prefix) :] for name in self.folders if name.startswith(prefix))
        return sorted(name for name in below if name and "/" not in name)

    def files(self, suffix: str) -> list[str]:
        """Paths below the root of all files whose name ends so (lower case), unsorted."""
        return [
            join(folder, name)
            for folder, names in self.folders.items()
            for name in names
            if name.lower().endswith(suffix)
        ]


def image_names(folders: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Those of each folder's files that are images."""
    return {
        folder: [name for name in names if name.rpartition(".")[2].lower() in IMAGE_EXTENSIONS]
        for folder, names in folders.items()
    }


def join(folder: str, name: str) -> str:
    """A path below the root of a tree."""
    return f"{folder}/{name}" if folder else name


def read_tree(root: Path) -> Tree:
    """List a folder and all below it.

    Links to folders are followed, but none to a folder that holds the link, and none twice to
    the same folder: a loop ends. synfill's own records (the folder `synfill` that a balanced
    dataset carries) are no data and left out; so is, below the root, a balanced dataset itself.

    Raises:
        RunError: A folder can't be read.
    """
    folders: dict[str, list[str]] = {}
    hidden: dict[str, list[str]] = {}
    notes: list[str] = []
    followed: set[str] = set()
    made: set[str] = set()
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        names, below, links, out_of_sight = _scan(root, folder)
        if folder.rpartition("/")[2] == "synfill" and not _OWN_RECORDS.isdisjoint(names):
            made.add(folder.rpartition("/")[0])
            continue
        folders[folder] = names
        for path in (join(folder, name) for name in sorted(out_of_sight)):
            # What can't be read in one that is left out anyway is no error.
            with contextlib.suppress(OSError):
                hidden[path] = os.listdir(root / path)
        for link in sorted(links):
            path = join(folder, link)
            target = os.path.realpath(root / path)
            holds_us = any(_holds(target, os.path.realpath(p)) for p in (root, root / folder))
            if target in followed or holds_us:
                notes.append(f"{path} links to a folder that is read already: passed over.")
            else:
                followed.add(target)
                below.append(link)
        waiting += [join(folder, name) for name in sorted(below, reverse=True)]
    made |= {path.rpartition("/")[0] for path in hidden if path.endswith("/.synfill")}
    made.discard("")
    for path in sorted(made):
        notes.append(f"{path} is what `synfill balance` made: left out.")
    if made:
        folders = {name: held for name, held in folders.items() if not _is_below(name, made)}
    return Tree(root, folders, hidden, tuple(notes))


def _is_below(folder: str, tops: set[str]) -> bool:
    """Whether a folder is one of some others, or lies below one."""
    while folder:
        if folder in tops:
            return True
        folder = folder.rpartition("/")[0]
    return False


def _holds(folder: str, path: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _scan(root: Path, folder: str) -> tuple[list[str], list[str], list[str], list[str]]:
    """The names of a folder's files, its folders, its links to folders, its hidden folders."""
    files: list[str] = []
    below: list[str] = []
    links: list[str] = []
    hidden: list[str] = []
    try:
        with os.scandir(root / folder) as entries:
            for entry in entries:
                name = entry.name
                if name.startswith(".") or name in _IGNORED:
                    if name.startswith(".") and entry.is_dir():
                        hidden.append(name)
                    continue
                if not entry.is_dir():
                    files.append(name)
                elif entry.is_symlink():
                    links.append(name)
                else:
                    below.append(name)
    except OSError as error:
        raise RunError(
            f"The folder {root / folder} can't be read: {error.strerror}.",
            "Check its permissions, or move it out of the dataset.",
        ) from error
    return files, below, links, hidden
