"""What the Hub, or the way to it, answers instead of a dataset, in a user's words."""

from __future__ import annotations

import re

from synfill.errors import RunError, SynfillError, UsageError
from synfill.hub.retry import BadAnswer, GaveUp, is_of_storage, plain, reason, transport_error


def is_offline(error: BaseException) -> bool:
    """Whether it is the way to the Hub that failed, or the Hub as a whole."""
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(error, HfHubHTTPError | BadAnswer):
        return False
    # An HTTP error without an answer from the Hub is one of the way there.
    if isinstance(error, transport_error() | ConnectionError):
        return True
    return error.__cause__ is not None and is_offline(error.__cause__)


def explain_hub(id: str, revision: str | None, error: Exception) -> SynfillError:
    """What went wrong, for the user.

    Args:
        id: The dataset.
        revision: What was asked for.
        error: What huggingface_hub or `datasets` raised.
    """
    from huggingface_hub import constants, errors

    page = f"{constants.ENDPOINT}/datasets/{id}"
    if isinstance(error, errors.GatedRepoError):
        return _gated(id)
    if isinstance(error, errors.RevisionNotFoundError):
        return RunError(
            f"The dataset '{id}' has no revision '{revision}'.",
            f"See its branches, tags and commits at {page}/commits/main.",
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return _not_found(id)
    if said := _reason_of_an_outage(error):
        return RunError(
            f"The dataset '{id}' can't be read: {said}.",
            "Check the connection (a proxy, or a page of the network to log in at, may answer in "
            "the Hub's place; so may a wrong HF_ENDPOINT), and run the same command again.",
        )
    if is_offline(error):
        return RunError(
            f"The dataset '{id}' is no local folder, and the Hub can't be reached to look for it.",
            "Check the connection (and that HF_HUB_OFFLINE isn't set), or give a local folder.",
        )
    if isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code
        if status == 401 and not is_of_storage(error.response):
            return RunError(
                f"The Hub doesn't accept the token with which '{id}' was asked for.",
                "Run: hf auth login --force   (or correct HF_TOKEN, which comes first)",
            )
        return RunError(
            f"The dataset '{id}' can't be read: {reason(error)}.",
            "Run the same command again later; https://status.huggingface.co tells of troubles.",
        )
    return _explain_datasets(id, revision, error)


def _reason_of_an_outage(error: BaseException | None) -> str:
    """What came in an answer's place, where that is known; else ""."""
    from huggingface_hub.errors import FileMetadataError

    while error is not None:
        if isinstance(error, BadAnswer | GaveUp | FileMetadataError):
            return reason(error)
        error = error.__cause__
    return ""


def _gated(id: str) -> RunError:
    from huggingface_hub import constants

    return RunError(
        f"The dataset '{id}' is gated: its owner lets only those in who accepted its terms.",
        f"Accept them at {constants.ENDPOINT}/datasets/{id}, then run: hf auth login",
    )


def _not_found(id: str) -> RunError:
    return RunError(
        f"There is no dataset '{id}' on the Hub, or it is private (and no folder '{id}').",
        "Check its name. For a private dataset run: hf auth login",
    )


def _explain_datasets(id: str, revision: str | None, error: Exception) -> SynfillError:
    """`datasets` tells most of it only in its messages."""
    from datasets.exceptions import DatasetNotFoundError

    text = str(error)
    first_line = plain(text.splitlines()[0]) if text else type(error).__name__
    if "gated" in text:
        return _gated(id)
    if "Config name is missing" in text or "BuilderConfig" in text:
        listed = re.search(r"\[(.*?)\]", text)
        named = (listed[1] if listed else "").replace("'", "")
        return UsageError(
            f"The dataset '{id}' needs one of its configurations: {named or 'see its page'}.",
            f"Choose one, e.g. --config {named.split(',')[0] or 'NAME'}.",
        )
    if "scripts are no longer supported" in text:
        return RunError(
            f"The dataset '{id}' is made by a script, which is never run.",
            f"Look for a Parquet version of it, e.g. its revision: {id}@refs/convert/parquet",
        )
    if isinstance(error, DatasetNotFoundError) and "Revision" in text:
        return RunError(f"The dataset '{id}' has no revision '{revision}'.", "Check its name.")
    if isinstance(error, DatasetNotFoundError):
        return _not_found(id)
    cause = f" ({plain(str(error.__cause__))})" if str(error.__cause__ or "") else ""
    return RunError(
        f"The dataset '{id}' can't be loaded: {first_line}{cause}", "See its page on the Hub."
    )
