"""Parquet files in a repository of the Hub: single columns over the net, whole files through the
ordinary cache. Knows nothing of what is in them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

from synfill.data.hub_errors import explain_hub
from synfill.data.parquet import reading_parquet
from synfill.data.stamp import FileStates
from synfill.errors import SynfillError
from synfill.files import atomic_write, safe_name
from synfill.patience import Patience, ask, transport_error

if TYPE_CHECKING:
    from huggingface_hub import HfFileSystem

Result = TypeVar("Result")
_LOG = logging.getLogger("synfill")
_THREADS = 16


@dataclass(frozen=True)
class Listing:
    """What is in a repository at a commit.

    Attributes:
        id: `owner/name`.
        commit: The commit.
        sizes: Every file -> its bytes.
    """

    id: str
    commit: str
    sizes: dict[str, int]


@dataclass(frozen=True)
class HubFiles:
    """Files of a repository (see `synfill.data.parquet.Files`).

    Attributes:
        listing: The repository.
        names: The files that are wanted.
        threads: How many are read at a time.
    """

    listing: Listing
    names: Sequence[str]
    threads: int = _THREADS

    def open(self, name: str) -> Path | IO[bytes]:
        """The file in the cache, or one that fetches exactly what is read from it."""
        cached = self._cached(name)
        if cached is not None:
            return cached
        file: IO[bytes] = _file_system().open(
            f"datasets/{self.listing.id}@{self.listing.commit}/{name}",
            "rb",
            # The default reads ahead by megabytes: most of a file, for one of its columns.
            block_size=1 << 16,
            cache_type="none",
        )
        return file

    def folder(self) -> Path:
        """The snapshot in the cache; what isn't in it is downloaded, once."""
        from huggingface_hub import snapshot_download

        cached = [self._cached(name) for name in self.names]
        if cached[0] is not None and None not in cached:
            return cached[0].parents[self.names[0].count("/")]
        with self.reading(self.listing.id):
            return Path(
                ask_hub(
                    "The download",
                    lambda: snapshot_download(
                        self.listing.id,
                        repo_type="dataset",
                        revision=self.listing.commit,
                        allow_patterns=[*self.names, "README.md"],
                    ),
                )
            )

    @contextmanager
    def reading(self, name: str) -> Iterator[None]:
        """Turns what reading a file raises into a message."""
        try:
            with reading_parquet(f"{self.listing.id}/{name}"):
                yield
        except SynfillError as error:
            # What the net raises is an OSError too, and no damage of the file.
            cause = error.__cause__
            if isinstance(cause, transport_error() | ConnectionError | FileNotFoundError):
                raise explain_hub(self.listing.id, self.listing.commit, cause) from cause
            raise

    def stamp(self, names: Sequence[str]) -> str:
        """The commit, at which no file changes, and the files."""
        told = json.dumps([self.listing.id, self.listing.commit, list(names)])
        return blake2b(told.encode(), digest_size=16).hexdigest()

    def look_around(self) -> FileStates | None:
        """All files of the repository."""
        sizes = self.listing.sizes
        return FileStates(self.stamp(list(sizes)), sum(sizes.values()), newest=0)

    def _cached(self, name: str) -> Path | None:
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(
            self.listing.id, name, revision=self.listing.commit, repo_type="dataset"
        )
        return Path(found) if isinstance(found, str) else None


def ask_hub(what: str, question: Callable[[], Result]) -> Result:
    """Call the Hub, and call again if it is busy; not if there is no connection at all."""
    return ask(what, question, _LOG.warning, Patience(tries=4, first_wait=1, unreachable=False))


def list_files(id: str, revision: str | None) -> Listing:
    """Ask the Hub what is in a repository, and remember it for when there is no connection.

    Raises:
        Exception: What huggingface_hub raises.
    """
    from huggingface_hub import HfApi

    info = ask_hub(
        "Looking for the dataset",
        lambda: HfApi().dataset_info(id, revision=revision, timeout=30),
    )
    commit = str(info.sha)
    root = f"datasets/{id}@{commit}"
    # Through the file system, which keeps it: no file's size is asked for again.
    found: Any = ask_hub("Listing its files", lambda: _file_system().find(root, detail=True))
    sizes = {path.removeprefix(f"{root}/"): int(entry["size"]) for path, entry in found.items()}
    listing = Listing(id, commit, sizes)
    with atomic_write(_memory(id, revision)) as file:
        file.write(json.dumps(asdict(listing)).encode())
    return listing


def remembered_files(id: str, revision: str | None) -> Listing | None:
    """The last answer of `list_files`; None where there is none."""
    try:
        content = json.loads(_memory(id, revision).read_bytes())
        return Listing(content["id"], content["commit"], content["sizes"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _memory(id: str, revision: str | None) -> Path:
    from huggingface_hub import constants

    name = safe_name(f"{id}@{revision or 'main'}")
    return Path(constants.HF_HOME) / "synfill" / f"{name}.json"


def _file_system() -> HfFileSystem:
    from huggingface_hub import HfFileSystem

    return HfFileSystem()
