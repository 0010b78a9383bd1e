"""Parquet files in a repository of the Hub: single columns over the net, whole files through the
ordinary cache. Knows nothing of what is in them.
"""

from __future__ import annotations

import glob
import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any

import pyarrow.parquet as pq

from synfill.data.sources.shards import reading_parquet
from synfill.data.stamp import FileStates
from synfill.errors import SynfillError
from synfill.files import atomic_write, safe_name
from synfill.hub.downloads import fetch_checked
from synfill.hub.errors import explain_read
from synfill.hub.failures import transport_error
from synfill.hub.ranges import FooterGuess, RangedFile, fetch_footer, fetch_range
from synfill.hub.repository import look_at
from synfill.hub.retry import ask
from synfill.reading import parse_json, read_regular

_THREADS = 8


@dataclass(frozen=True)
class Listing:
    """What is in a repository at a commit.

    Attributes:
        id: `owner/name`.
        commit: The commit.
        sizes: Every file -> its bytes.
        hashes: Every file -> the SHA-256 of its content, or git's own hash of it (40 digits).
            Empty in what earlier versions remembered.
    """

    id: str
    commit: str
    sizes: dict[str, int]
    hashes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class HubFiles:
    """Files of a repository (see `synfill.data.sources.shards.Files`).

    Attributes:
        listing: The repository.
        names: The files that are wanted.
        threads: How many are read at a time.
    """

    listing: Listing
    names: Sequence[str]
    threads: int = _THREADS
    _guess: FooterGuess = field(default_factory=FooterGuess)

    def open(self, name: str) -> Path | IO[bytes]:
        """The file in the cache, or one that fetches exactly what is read from it."""
        cached = self._cached(name)
        if cached is not None:
            return cached
        file: Any = RangedFile(self.listing.sizes[name], partial(self._fetch, name))
        return file  # type: ignore[no-any-return]

    def footer(self, name: str) -> pq.FileMetaData:
        """The file's footer, and nothing else of it."""
        cached = self._cached(name)
        if cached is not None:
            return pq.read_metadata(cached)
        size = self.listing.sizes[name]
        end = fetch_footer(partial(self._fetch, name), size, self._guess)
        return pq.read_metadata(io.BytesIO(end))

    def folder(self) -> Path:
        """The snapshot in the cache; what isn't in it is downloaded, once, and compared."""
        cached = [self._cached(name) for name in self.names]
        if cached[0] is not None and None not in cached:
            return cached[0].parents[self.names[0].count("/")]
        with self.reading(self.listing.id):
            return download(self.listing, [*self.names, "README.md"])

    @contextmanager
    def reading(self, name: str) -> Iterator[None]:
        """Turns what reading a file raises into a message."""
        try:
            with reading_parquet(f"{self.listing.id}/{name}"):
                yield
        except transport_error() as error:
            raise explain_read(self.listing.id, self.listing.commit, error) from error
        except SynfillError as error:
            # What the net raises is an OSError too, and no damage of the file.
            cause = error.__cause__
            if isinstance(cause, transport_error() | ConnectionError | FileNotFoundError):
                raise explain_read(self.listing.id, self.listing.commit, cause) from cause
            raise

    def _fetch(self, name: str, first: int, end: int) -> bytes:
        from huggingface_hub import hf_hub_url

        listing = self.listing
        url = hf_hub_url(listing.id, name, repo_type="dataset", revision=listing.commit)
        size = listing.sizes[name]
        return ask(f"Reading {name}", lambda: fetch_range(url, size, first, end))

    def stamp(self, names: Sequence[str]) -> str:
        """The commit, at which no file changes, and the files."""
        content = json.dumps([self.listing.id, self.listing.commit, list(names)])
        return blake2b(content.encode(), digest_size=16).hexdigest()

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


def download(listing: Listing, names: Sequence[str]) -> Path:
    """Download files of a dataset into the cache, compared with the Hub's listing.

    Returns:
        The snapshot's folder.

    Raises:
        RunError: A file arrives damaged again and again.
        Exception: What huggingface_hub raises.
    """
    from huggingface_hub import snapshot_download

    patterns = [glob.escape(name) for name in names]

    def fetch() -> Path:
        return Path(
            snapshot_download(
                listing.id,
                repo_type="dataset",
                revision=listing.commit,
                allow_patterns=patterns,
            )
        )

    return _download_checked(listing, "The download", fetch)


def download_card(listing: Listing) -> Path:
    """Download a dataset's README.md into the cache, compared; the snapshot's folder.

    Raises:
        RunError: It arrives damaged again and again.
        Exception: What huggingface_hub raises.
    """
    from huggingface_hub import hf_hub_download

    def fetch() -> Path:
        path = hf_hub_download(
            listing.id, "README.md", repo_type="dataset", revision=listing.commit
        )
        return Path(path).parent

    return _download_checked(listing, "Reading the dataset's card", fetch)


def _download_checked(listing: Listing, what: str, fetch: Callable[[], Path]) -> Path:
    return fetch_checked(
        listing.id, "dataset", lambda: ask(what, fetch), lambda folder: listing.hashes
    )


def list_dataset(id: str, revision: str | None) -> Listing:
    """Ask the Hub what is in a dataset, and remember it for when there is no connection.

    Raises:
        BadAnswer: Again and again its answers are something else.
        Exception: What huggingface_hub raises.
    """
    found = look_at(id, "dataset", revision)
    listing = Listing(
        id,
        found.commit,
        {name: file.size for name, file in found.files.items()},
        {name: file.hash for name, file in found.files.items()},
    )
    with atomic_write(_memory(id, revision)) as file:
        file.write(json.dumps(asdict(listing)).encode())
    return listing


def remembered_files(id: str, revision: str | None) -> Listing | None:
    """The last answer of `list_dataset`; None where there is none."""
    try:
        content = parse_json(read_regular(_memory(id, revision)))
        sizes = {str(name): int(size) for name, size in content["sizes"].items()}
        hashes = {str(name): str(found) for name, found in content.get("hashes", {}).items()}
        return Listing(str(content["id"]), str(content["commit"]), sizes, hashes)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _memory(id: str, revision: str | None) -> Path:
    from huggingface_hub import constants

    name = safe_name(f"{id}@{revision or 'main'}")
    return Path(constants.HF_HOME) / "synfill" / f"{name}.json"
