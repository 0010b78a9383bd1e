"""Downloads from the Hub whose content is compared with what the Hub lists.

huggingface_hub compares the size alone, and what is in its cache once is believed from then on: a
flipped byte in an image or in weights would stay unseen.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from synfill.errors import RunError
from synfill.hub.retry import READING, BadAnswer, ask

_THREADS = 4
_LOG = logging.getLogger("synfill")


class DamagedDownload(RunError):
    """Files arrived with another content than the Hub lists, again and again."""


def fetch_checked(
    repo: str,
    repo_type: str,
    fetch: Callable[[], Path],
    hashes: Callable[[Path], Mapping[str, str]],
) -> Path:
    """Download into huggingface_hub's cache, and compare what wasn't there before.

    A damaged file is taken out of the cache, and fetched once more.

    Args:
        repo: owner/name.
        repo_type: "dataset" or "model".
        fetch: Downloads what is missing; gives the snapshot's folder.
        hashes: For that folder, every file's path in it -> its hash, as of `listed_hash`. Asked
            only where something was downloaded; a file that it doesn't have isn't compared.

    Raises:
        DamagedDownload: A file arrived damaged twice.
        Exception: What the two functions raise.
    """
    before = _cached_files(repo, repo_type)
    known: Mapping[str, str] | None = None
    bad: list[str] = []
    for _ in range(2):
        folder = fetch()
        fresh = {
            path.relative_to(folder).as_posix(): path
            for path in _files(folder)
            if path not in before
        }
        if known is None:
            known = hashes(folder) if fresh else {}
        bad = damaged({name: path for name, path in fresh.items() if name in known}, known)
        if not bad:
            return folder
        for name in bad:
            _remove(folder / name)
        _LOG.warning("%s: %s arrived damaged.", repo, _few(bad))
    raise DamagedDownload(
        f"What was downloaded of {repo} isn't what the Hub lists: {_few(bad)}, twice. It was taken "
        "out of the cache.",
        "Something on the way (a proxy, a mirror) or the disk changes it. Check these, then run "
        "the same command again.",
    )


def damaged(files: Mapping[str, Path], known: Mapping[str, str]) -> list[str]:
    """Those of some files whose content has another hash than the Hub lists.

    Args:
        files: Name -> file.
        known: Name -> hash.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        good = pool.map(lambda name: content_hash(files[name], known[name]) == known[name], files)
        return [name for name, is_good in zip(files, good, strict=True) if not is_good]


def content_hash(path: Path, like: str) -> str:
    """The hash of a file's content: SHA-256, or git's of a blob where `like` is one (40 digits)."""
    with path.open("rb") as file:
        if len(like) != 40:
            return hashlib.file_digest(file, "sha256").hexdigest()
        digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
        while block := file.read(1 << 20):
            digest.update(block)
        return digest.hexdigest()


def list_hashes(repo: str, repo_type: str, commit: str) -> dict[str, str]:
    """Ask the Hub for the hashes of a repository's files: path -> as of `listed_hash`.

    Raises:
        Exception: What huggingface_hub raises; BadAnswer where the answer makes no sense.
    """
    from huggingface_hub import HfApi, RepoFile

    def question() -> dict[str, str]:
        tree = HfApi().list_repo_tree(repo, repo_type=repo_type, revision=commit, recursive=True)
        return {entry.path: listed_hash(entry) for entry in tree if isinstance(entry, RepoFile)}

    return ask(f"Listing the files of {repo}", question, _LOG.warning, READING)


def listed_hash(entry: Any) -> str:
    """The hash of a file in a listing of huggingface_hub: of its content, not of an LFS pointer.

    Raises:
        BadAnswer: It has none.
    """
    found = entry.lfs.sha256 if entry.lfs is not None else entry.blob_id
    if not isinstance(found, str) or len(found) not in (40, 64):
        raise BadAnswer("the Hub lists a file without its hash")
    return found.lower()


def _cached_files(repo: str, repo_type: str) -> set[Path]:
    """What is in the cache of a repository: all its snapshots."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = repo_folder_name(repo_id=repo, repo_type=repo_type)
    return set(_files(Path(constants.HF_HUB_CACHE).resolve() / folder / "snapshots"))


def _files(folder: Path) -> Iterable[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _remove(path: Path) -> None:
    """Take a file out of the cache: the link in its snapshot, and what it points to."""
    chain = [path]
    while chain[-1].is_symlink():
        chain.append(chain[-1].parent / chain[-1].readlink())
    for one in chain:
        one.unlink(missing_ok=True)


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
