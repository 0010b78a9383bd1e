"""Model files from the Hub: a snapshot whose commit is known.

The token is left to huggingface_hub (HF_TOKEN or `hf auth login`); it is neither read nor shown
here. huggingface_hub is imported only when something is fetched.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from synfill.hub.client import prepare_client
from synfill.hub.downloads import fetch_checked
from synfill.hub.errors import explain_fetch
from synfill.hub.failures import response_of, transport_error
from synfill.hub.repository import list_files
from synfill.hub.retry import ask

REPO_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
"""What an owner/name on the Hub looks like."""

CONFIG_FILES: Final = ("model_index.json", "README.md", "*/config.json", "scheduler/*.json")
"""What is read to resolve a model: a few kilobytes, no weights."""


def snapshot(repo: str, revision: str | None, patterns: Sequence[str], what: str) -> Path:
    """Fetch some files of a model repository (or find them in the cache when offline).

    Args:
        repo: owner/name.
        revision: Branch, tag or commit; None for the main branch.
        patterns: Shell patterns of the files.
        what: What is fetched, for the messages ("model", "LoRA").

    Returns:
        The snapshot's folder. Its name is the commit.

    Raises:
        Unreachable: Offline and not cached.
        RunError: No such repository or revision, or no access to it.
    """
    from huggingface_hub import errors, snapshot_download

    def find(local: bool) -> Path:
        return Path(
            snapshot_download(
                repo, revision=revision, allow_patterns=list(patterns), local_files_only=local
            )
        )

    with explain_fetch(repo, revision, what):
        try:
            return fetch(repo, what, lambda: find(local=False))
        except (ConnectionError, transport_error()) as error:
            # Its releases 1.x ask for the list of files even where a commit is named that is in
            # the cache, and fail without it.
            if response_of(error) is not None:
                raise
            try:
                return find(local=True)
            except errors.LocalEntryNotFoundError:
                raise error from None


def fetch(repo: str, what: str, download: Callable[[], Path]) -> Path:
    """Download model files into the cache, and compare them with what the Hub lists.

    Args:
        repo: owner/name.
        what: What is fetched, for the messages.
        download: Downloads what isn't in the cache; gives the snapshot's folder.

    Raises:
        RunError: A file arrives damaged again and again.
        Exception: What `download` raises at last, where asking again didn't help.
    """
    prepare_client()

    def list_hashes(folder: Path) -> dict[str, str]:
        listed = list_files(repo, "model", folder.name)
        return {name: file.hash for name, file in listed.items()}

    return fetch_checked(repo, "model", lambda: ask(f"Fetching the {what}", download), list_hashes)
