"""An output folder, of balance and train alike: where it may be, and who is at work in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from synfill.errors import UsageError
from synfill.runs.lock import FolderLock
from synfill.wording import list_some


class OutputFolder:
    """An output folder.

    Args:
        path: The folder; it need not exist.

    Attributes:
        path: The folder.
        work: OUT/.synfill, for what is only needed while a run is at work.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.work = path / ".synfill"
        self._lock = FolderLock(self.work)

    def check_writable(self) -> None:
        """Look whether a folder can be made and written to there. Changes nothing.

        Raises:
            UsageError: It can't.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"{self.path} is a file; --out names a folder.")
        if self.path.is_symlink() and not self.path.exists():
            raise UsageError(
                f"{self.path} is a symbolic link that leads nowhere.",
                "Make the folder that it should lead to, or choose another --out.",
            )
        place = self.path.absolute()
        while not place.exists():
            place = place.parent
        if not os.access(place, os.W_OK | os.X_OK):
            raise UsageError(
                f"Nothing can be written to {place}, where the output folder {self.path} is to be.",
                "Choose another place with --out.",
            )


def refuse_other_identity(path: Path, what: str, changed: list[str]) -> None:
    """Stop before results of other settings are taken for those of this run.

    Args:
        path: The folder that they are in.
        what: What it holds: "a run with other settings".
        changed: From `differences`; nothing is refused if it is empty.

    Raises:
        UsageError: Something changed.
    """
    if changed:
        raise UsageError(
            f"The output folder {path} holds {what}:\n"
            + "\n".join(f"  {line}" for line in changed),
            "Use the former ones, choose another --out, or add --overwrite.",
        )


def refuse_not_empty(path: Path, others: Iterable[str], what: str, writer: str) -> None:
    """Stop before a folder with files of others becomes an output folder.

    Args:
        path: The folder.
        others: The names of what is in it and isn't ours; nothing is refused if there are none.
        what: What it is: "is not empty".
        writer: What --overwrite replaces, for the hint.

    Raises:
        UsageError: There is something.
    """
    if listed := list_some(sorted(others)):
        raise UsageError(
            f"The output folder {path} {what}: {listed}.",
            f"Choose another --out. Or add --overwrite: it replaces what {writer} and leaves other "
            "files alone.",
        )


def refuse_links(paths: Iterable[Path]) -> None:
    """Stop before what is written or removed lies where a link leads.

    Raises:
        UsageError: One of the paths is a symbolic link.
    """
    for path in paths:
        if path.is_symlink():
            raise UsageError(
                f"{path} is a symbolic link: synfill would write and delete where it leads.",
                "Remove the link, or choose another --out.",
            )


def names_in(folder: Path) -> set[str]:
    """What is in a folder, which may not be there, or which another process may be removing."""
    try:
        return set(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return set()


def remove(path: Path) -> None:
    """Remove a file, a link or a folder with all that is in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
