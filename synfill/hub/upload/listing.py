"""What is in a finished folder, as its own record says, and what of it isn't on the Hub."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from synfill.errors import RunError, UsageError
from synfill.hub.repository import RemoteFile, hash_like
from synfill.hub.upload.kinds import DATASET
from synfill.hub.upload.ours import listed_files, wrote
from synfill.reading import parse_json, read_regular
from synfill.records import JsonObject
from synfill.runs.dataset_files import CARD, RUN, files_below
from synfill.wording import counted, list_some

_WORK = ".synfill"


@dataclass
class LocalFolder:
    """What is to be pushed: what synfill wrote to a folder, not what else lies in it.

    Attributes:
        path: The folder.
        record: Its run.json.
        files: Every file of it: path below the folder -> size.
        hashes: The SHA-256 that the record has for a file. Not of the card, which people edit,
            and not of the record itself.
        left_out: What else is in the folder, and isn't pushed; folders end with "/".
    """

    path: Path
    record: JsonObject
    files: dict[str, int]
    hashes: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    _digests: dict[tuple[str, int], str] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """Bytes of all files."""
        return sum(self.files.values())

    def check(self) -> None:
        """Read every file that the record has a hash of, and compare.

        Raises:
            RunError: A file has changed since it was written.
        """
        changed = [name for name, hash in self.hashes.items() if not self._has_hash(name, hash)]
        if changed:
            raise _changed(self.path, changed)

    def is_same(self, name: str, remote: RemoteFile) -> bool:
        """Whether a remote file has the content of the local one of that name."""
        return self.files.get(name) == remote.size and self._has_hash(name, remote.hash)

    def missing_in(self, remote: Mapping[str, RemoteFile]) -> list[str]:
        """Which files aren't there, or are other ones."""
        return [n for n in self.files if n not in remote or not self.is_same(n, remote[n])]

    def is_all_of(self, remote: Mapping[str, RemoteFile]) -> bool:
        """Whether nothing is there but files of this folder."""
        return all(self.is_same(name, file) for name, file in remote.items())

    def _has_hash(self, name: str, hash: str) -> bool:
        """Whether a file has a hash, SHA-256 or git's; for each it is read once."""
        key = name, len(hash)
        if key not in self._digests:
            self._digests[key] = hash_like(self.path / name, hash)
        return self._digests[key] == hash


def read_dataset(path: Path) -> LocalFolder:
    """Read what a finished dataset's folder holds.

    Only what its record says that the run wrote. Links aren't followed.

    Raises:
        UsageError: There is no finished dataset.
        RunError: Its run.json is damaged, or a file of it is gone, another one, or a link.
    """
    record = _read_record(path)
    listed = listed_files(record)
    names = set(listed or ())
    if listed is None:
        listed = {}
        below = (files_below(path, child) for child in os.listdir(path))
        names.update(filter(wrote(record, DATASET), chain.from_iterable(below)))
    files = _stat_files(path, names | {RUN})
    hashes = {name: entry.sha256 for name, entry in listed.items() if name not in (RUN, CARD)}
    if changed := [name for name in hashes if files[name] != listed[name].bytes]:
        raise _changed(path, changed)
    return LocalFolder(path, record, files, hashes, _left_out(path, files))


def _read_record(path: Path) -> JsonObject:
    if (path / _WORK).exists() and not (path / RUN).exists():
        raise UsageError(
            f"The run in {path} isn't finished.",
            "Let it finish first: run the same synfill balance command again.",
        )
    try:
        record = parse_json(read_regular(path / RUN))
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(
            f"{path} holds no dataset made by synfill (there is no {RUN}).",
            "Give the output folder of synfill balance.",
        ) from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path / RUN} can't be read: {error}.", "Make the dataset again.") from None
    if not isinstance(record, dict) or not isinstance(record.get("identity"), dict):
        raise RunError(f"{path / RUN} is no record of a run.", "Make the dataset again.")
    files = record.get("files", {})
    if not isinstance(files, dict) or len(listed_files({"files": files}) or {}) != len(files):
        raise RunError(f"The list of files in {path / RUN} is damaged.", "Make the dataset again.")
    return record


def _stat_files(path: Path, names: set[str]) -> dict[str, int]:
    """The sizes of files below a folder, in the order of their names.

    Raises:
        RunError: One isn't there, is no regular file, or a link leads to it.
    """
    for name in sorted(_folders_of(names) | names):
        if (path / name).is_symlink():
            raise RunError(
                f"{path / name} is a symbolic link, and links are not followed in a push.",
                "Put what it stands for in its place.",
            )
    files = {}
    for name in sorted(names):
        try:
            found = os.lstat(path / name)
        except OSError as error:
            raise RunError(
                f"{path / name} is gone, which the run wrote ({error.strerror}).",
                "Put it back, or make the dataset again.",
            ) from None
        if not stat.S_ISREG(found.st_mode):
            raise RunError(
                f"{path / name} is no regular file, where the run wrote one.",
                "Put it back, or make the dataset again.",
            )
        files[name] = found.st_size
    return files


def _folders_of(names: Iterable[str]) -> set[str]:
    """The folders that files are in, and those above them."""
    parts = [name.split("/") for name in names]
    return {"/".join(some[:depth]) for some in parts for depth in range(1, len(some))}


def _changed(path: Path, names: list[str]) -> RunError:
    return RunError(
        f"{counted(len(names), 'file')} in {path} changed since the run "
        f"wrote {'them' if len(names) > 1 else 'it'}: {list_some(names)}. Nothing was pushed.",
        "Put back what the run wrote, or make the dataset again with --overwrite.",
    )


def _left_out(path: Path, files: Mapping[str, int]) -> tuple[str, ...]:
    """What lies in the folder and isn't ours; a folder without anything of ours by its name."""
    ours = _folders_of(files)
    found = []
    for folder in ("", *ours):
        with os.scandir(path / folder) as entries:
            for entry in entries:
                name = f"{folder}/{entry.name}".lstrip("/")
                if name not in files and name not in ours:
                    # No link is followed.
                    is_folder = entry.is_dir(follow_symlinks=False)
                    found.append(f"{name}/" if is_folder else name)
    return tuple(sorted(name for name in found if name != f"{_WORK}/"))
