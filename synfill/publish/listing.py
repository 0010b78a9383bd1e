"""What is in a finished folder, what is in a repository, and how they differ."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synfill.errors import RunError, UsageError
from synfill.patience import PATIENCE, Patience, Tell, ask
from synfill.publish.kinds import Kind
from synfill.records import JsonObject

RUN = "synfill/run.json"
_HUBS_OWN = ".gitattributes"


@dataclass(frozen=True)
class RemoteFile:
    """A file in a repository.

    Attributes:
        size: Its bytes.
        sha256: Of its content, where it is stored apart from git; else "".
        blob: Git's own SHA-1 of it.
    """

    size: int
    sha256: str
    blob: str


@dataclass
class LocalFolder:
    """What is to be pushed: what synfill wrote to a folder, not what else lies beside it.

    Attributes:
        path: The folder.
        record: Its run.json.
        files: Every file of it: path below the folder -> size.
    """

    path: Path
    record: JsonObject
    files: dict[str, int]
    _equal: dict[tuple[str, str], bool] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """Bytes of all files."""
        return sum(self.files.values())

    def is_same(self, name: str, remote: RemoteFile) -> bool:
        """Whether a remote file has the content of the local one of that name."""
        if self.files.get(name) != remote.size:
            return False
        wanted = remote.sha256 or remote.blob
        if (name, wanted) not in self._equal:
            self._equal[name, wanted] = self._digest(name, bool(remote.sha256)) == wanted
        return self._equal[name, wanted]

    def missing_in(self, remote: Mapping[str, RemoteFile]) -> list[str]:
        """Which files aren't there, or are other ones."""
        return [n for n in self.files if n not in remote or not self.is_same(n, remote[n])]

    def is_all_of(self, remote: Mapping[str, RemoteFile]) -> bool:
        """Whether nothing is there but files of this folder."""
        return all(self.is_same(name, file) for name, file in remote.items())

    def surplus_in(self, remote: Mapping[str, RemoteFile]) -> list[str]:
        """Which files lie in the same folders there without being part of it.

        An earlier dataset's shards are such: `load_dataset` would read them too.
        """
        folders = {name.partition("/")[0] for name in self.files if "/" in name}
        return [n for n in remote if n not in self.files and n.partition("/")[0] in folders]

    def _digest(self, name: str, sha256: bool) -> str:
        path = self.path / name
        digest = hashlib.sha256() if sha256 else hashlib.sha1(usedforsecurity=False)
        if not sha256:
            digest.update(f"blob {path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()


def read_dataset(path: Path) -> LocalFolder:
    """Read what a finished dataset's folder holds.

    Raises:
        UsageError: There is no finished dataset.
        RunError: Its run.json is damaged.
    """
    if (path / ".synfill").exists() and not (path / RUN).exists():
        raise UsageError(
            f"The run in {path} isn't finished.",
            "Let it finish first: run the same synfill balance command again.",
        )
    try:
        record = json.loads((path / RUN).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(
            f"{path} holds no dataset made by synfill (there is no {RUN}).",
            "Give the output folder of synfill balance.",
        ) from None
    except ValueError as error:
        raise RunError(f"{path / RUN} can't be read: {error}.", "Make the dataset again.") from None
    if not isinstance(record, dict) or not isinstance(record.get("identity"), dict):
        raise RunError(f"{path / RUN} is no record of a run.", "Make the dataset again.")
    return LocalFolder(path, record, list_files(path, record.get("entries", [])))


def list_files(path: Path, entries: Iterable[object]) -> dict[str, int]:
    """What synfill wrote to a folder: path below it -> bytes.

    Args:
        path: The folder.
        entries: The files and folders in it that are meant, as run.json names them; the folder
            of run.json itself always is.
    """
    # Names from a file are only compared with what is there: none becomes a path ("..").
    meant = set(os.listdir(path)).intersection({RUN.partition("/")[0], *map(str, entries)})
    found = [
        file
        for entry in sorted(meant)
        for file in (
            sorted((path / entry).rglob("*")) if (path / entry).is_dir() else [path / entry]
        )
    ]
    return {
        file.relative_to(path).as_posix(): file.stat().st_size for file in found if file.is_file()
    }


def list_remote(
    kind: Kind, id: str, revision: str | None, tell: Tell, patience: Patience = PATIENCE
) -> dict[str, RemoteFile]:
    """The files of a repository, without the one that the Hub puts there itself.

    Raises:
        Exception: What huggingface_hub raises.
    """
    from huggingface_hub import HfApi, RepoFile

    def question() -> dict[str, RemoteFile]:
        tree = HfApi().list_repo_tree(id, repo_type=kind.name, revision=revision, recursive=True)
        return {
            entry.path: RemoteFile(
                entry.size, entry.lfs.sha256 if entry.lfs is not None else "", entry.blob_id
            )
            for entry in tree
            if isinstance(entry, RepoFile) and entry.path != _HUBS_OWN
        }

    return ask("Listing the repository", question, tell, patience)


def is_of_run(
    kind: Kind, id: str, revision: str | None, identity: Mapping[str, Any], tell: Tell
) -> bool:
    """Whether a repository that holds a run.json was pushed to by the run of that identity.

    Raises:
        Exception: What huggingface_hub raises.
    """
    from huggingface_hub import hf_hub_download

    def question() -> str:
        return hf_hub_download(id, RUN, repo_type=kind.name, revision=revision)

    path = ask("Reading the repository's run.json", question, tell)
    try:
        record = json.loads(Path(path).read_bytes())
    except ValueError:
        return False
    # Through JSON, as the other one went: a tuple is a list there.
    now = json.loads(json.dumps(identity))
    return isinstance(record, dict) and bool(record.get("identity") == now)
