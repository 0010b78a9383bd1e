"""Model files from the Hub: a snapshot whose commit is known, and errors told apart.

The token is left to huggingface_hub (HF_TOKEN or `hf auth login`); it is neither read nor shown
here. huggingface_hub is imported only when something is fetched.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from synfill.errors import RunError
from synfill.hub.client import prepare_client
from synfill.hub.downloads import fetch_checked, list_hashes
from synfill.hub.retry import (
    READING,
    BadAnswer,
    GaveUp,
    ask,
    is_of_storage,
    reason,
    transport_error,
)

REPO_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
"""What an owner/name on the Hub looks like."""

_LOG: Final = logging.getLogger("synfill")

CONFIG_FILES: Final = ("model_index.json", "README.md", "*/config.json", "scheduler/*.json")
"""What is read to resolve a model: a few kilobytes, no weights."""


class Unreachable(RunError):
    """The Hub can't be reached, and what was asked for isn't in the local cache."""


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

    with hub_errors(repo, revision, what):
        try:
            return fetch(repo, what, lambda: find(local=False))
        except errors.HfHubHTTPError:
            raise
        except (ConnectionError, transport_error()) as error:
            # Its releases 1.x ask for the list of files even where a commit is named that is in
            # the cache, and fail without it.
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
    return fetch_checked(
        repo,
        "model",
        lambda: ask(f"Fetching the {what}", download, _LOG.warning, READING),
        lambda folder: list_hashes(repo, "model", folder.name),
    )


@contextlib.contextmanager
def hub_errors(repo: str, revision: str | None, what: str) -> Iterator[None]:
    """Turn what huggingface_hub raises into messages that say which case it is.

    Raises:
        Unreachable: Offline and not cached.
        RunError: No such repository or revision, or no access to it.
    """
    from huggingface_hub import constants, errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise RunError(
            f"The {what} {repo} is gated: its owner lets only those in who accepted its terms.",
            f"Accept them at https://huggingface.co/{repo}, then log in with `hf auth login` "
            "(or set HF_TOKEN) and run the same command again.",
        ) from error
    except errors.RevisionNotFoundError as error:
        raise RunError(
            f"The {what} {repo} has no revision '{revision}'.",
            f"See its branches, tags and commits at https://huggingface.co/{repo}/commits/main.",
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise RunError(
            f"There is no {what} {repo} on the Hub, or it is private and you are not logged in.",
            "Check the spelling. If it is private, log in with `hf auth login` (or set HF_TOKEN).",
        ) from error
    except (
        errors.HfHubHTTPError,
        errors.LocalEntryNotFoundError,
        # Offline mode, no answer for too long, or one that makes no sense.
        ConnectionError,
        # A proxy's refusal comes through as such.
        transport_error(),
    ) as error:
        # What is not in the cache is reported as that, and why it wasn't fetched as its cause.
        cause = error.__cause__ if isinstance(error, errors.LocalEntryNotFoundError) else error
        if isinstance(cause, errors.HfHubHTTPError) and not is_of_storage(cause.response):
            said = f"HTTP status {cause.response.status_code}"
        elif isinstance(
            cause, errors.HfHubHTTPError | errors.FileMetadataError | BadAnswer | GaveUp
        ):
            said = reason(cause)
        else:
            said = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else "no connection"
        raise _unreachable(repo, what, said) from error


def _unreachable(repo: str, what: str, reason: str) -> Unreachable:
    return Unreachable(
        f"The {what} {repo} is not in the local cache and the Hub can't be reached ({reason}).",
        "Connect and run the same command again, or name a local folder with the model in it.",
    )
