"""Downloads from the Hub whose content is compared with what the Hub lists.

huggingface_hub compares the size alone, and what is in its cache once is believed from then on: a
flipped byte in an image or in weights would stay unseen.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from synfill.errors import RunError
from synfill.hub.repository import hash_like

_THREADS = 4
_LOG = logging.getLogger("synfill")


class DamagedDownload(RunError):
    """Files arrived with another content than the Hub lists, again and again."""


def fetch_checked(
    repo: str,
    repo_type: str,
    fetch: Callable[[], Path],
    list_hashes: Callable[[Path], Mapping[str, str]],
) -> Path:
    """Download into huggingface_hub's cache, and compare what wasn't there before.

    A damaged file is taken out of the cache, and fetched once more.

    Args:
        repo: owner/name.
        repo_type: "dataset" or "model".
        fetch: Downloads what is missing; gives the snapshot's folder.
        list_hashes: For that folder, every file's path in it -> its hash (`RemoteFile.hash`).
            Called only where something was downloaded; a file that it doesn't have isn't compared.

    Raises:
        DamagedDownload: A file arrived damaged twice.
        Exception: What the two functions raise.
    """
    before = _list_cached(repo, repo_type)
    hashes: Mapping[str, str] = {}
    bad: list[str] = []
    for _ in range(2):
        folder = fetch()
        fresh = [
            path.relative_to(folder).as_posix() for path in _walk(folder) if path not in before
        ]
        if fresh and not hashes:
            hashes = list_hashes(folder)
        bad = _find_damaged(folder, [name for name in fresh if name in hashes], hashes)
        if not bad:
            return folder
        for name in bad:
            _remove(folder / name)
        _LOG.warning("%s: %s arrived damaged.", repo, _shorten(bad))
    raise DamagedDownload(
        f"What was downloaded of {repo} isn't what the Hub lists: {_shorten(bad)}, twice. It was "
        "taken out of the cache.",
        "Something on the way (a proxy, a mirror) or the disk changes it. Check these, then run "
        "the same command again.",
    )


def _find_damaged(folder: Path, names: list[str], hashes: Mapping[str, str]) -> list[str]:
    with ThreadPoolExecutor(_THREADS) as pool:
        found = list(pool.map(lambda name: hash_like(folder / name, hashes[name]), names))
    return [name for name, hash in zip(names, found, strict=True) if hash != hashes[name]]


def _list_cached(repo: str, repo_type: str) -> set[Path]:
    """What is in the cache of a repository: all its snapshots."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = repo_folder_name(repo_id=repo, repo_type=repo_type)
    return set(_walk(Path(constants.HF_HUB_CACHE).resolve() / folder / "snapshots"))


def _walk(folder: Path) -> Iterable[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _remove(path: Path) -> None:
    """Take a file out of the cache: the link in its snapshot, and what it points to."""
    chain = [path]
    while chain[-1].is_symlink():
        chain.append(chain[-1].parent / chain[-1].readlink())
    for one in chain:
        one.unlink(missing_ok=True)


def _shorten(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
