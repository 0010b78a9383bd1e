"""What the Hub, or the way to it, answers instead of what was asked for, in a user's words.

One table, read from top to bottom: the first case that applies counts. Cases of reading a dataset,
of fetching a model's files and of pushing stand apart only where a user has to do other things.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from synfill.errors import RunError, SynfillError, UsageError
from synfill.hub.failures import (
    PASSING,
    BadAnswer,
    GaveUp,
    causes,
    is_from_storage,
    is_offline,
    is_passing,
    plain,
    reason,
    response_of,
    text_of,
    transport_error,
)

_QUOTA = re.compile(r"quota|storage (?:limit|space)|limit (?:is )?reached|payment", re.IGNORECASE)
_QUERY = re.compile(r"(https?://[^\s?'\"<>]+)\?[^\s'\"<>]*")
_XML = re.compile(r"<Message>([^<]*)</Message>")
_LONGEST = 300
_LOGIN_AGAIN = "Run: hf auth login --force   (or correct HF_TOKEN, which comes first)"


class Unreachable(RunError):
    """The Hub can't be reached, and what was asked for isn't in the local cache."""


@contextmanager
def explain_fetch(id: str, revision: str | None, what: str) -> Iterator[None]:
    """Turn what fetching a model's files raises into messages that say which case it is.

    Args:
        id: owner/name.
        revision: What was asked for.
        what: What is fetched, for the messages ("model", "LoRA").

    Raises:
        Unreachable: Offline and not cached.
        RunError: No such repository or revision, or no access to it.
    """
    from huggingface_hub import constants, errors

    try:
        yield
    except (
        errors.HfHubHTTPError,
        errors.LocalEntryNotFoundError,
        # Offline mode, no answer for too long, or one that makes no sense.
        ConnectionError,
        # A proxy's refusal comes through as such.
        transport_error(),
    ) as error:
        if denied := _explain_access(error, f"{what} {id}", id, revision):
            raise denied from error
        why = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else "no connection"
        response = response_of(error)
        if response is not None and not is_from_storage(response):
            why = f"HTTP status {response.status_code}"
        elif response is not None or _find_outage(error):
            why = reason(error)
        raise Unreachable(
            f"The {what} {id} is not in the local cache and the Hub can't be reached ({why}).",
            "Connect and run the same command again, or name a local folder with the model in it.",
        ) from error


def explain_read(id: str, revision: str | None, error: Exception) -> SynfillError:
    """Why a dataset can't be read.

    Args:
        id: owner/name.
        revision: What was asked for.
        error: What huggingface_hub or `datasets` raised.
    """
    nor = f" (and no folder '{id}')"
    denied = _explain_access(error, f"dataset '{id}'", f"datasets/{id}", revision, nor)
    if denied is not None:
        return denied
    if (outage := _find_outage(error)) is not None:
        return RunError(
            f"The dataset '{id}' can't be read: {reason(outage)}.",
            "Check the connection (a proxy, or a page of the network to log in at, may answer in "
            "the Hub's place; so may a wrong HF_ENDPOINT), and run the same command again.",
        )
    if is_offline(error):
        return RunError(
            f"The dataset '{id}' is no local folder, and the Hub can't be reached to look for it.",
            "Check the connection (and that HF_HUB_OFFLINE isn't set), or give a local folder.",
        )
    response = response_of(error)
    if response is not None and response.status_code == 401 and not is_from_storage(response):
        return RunError(
            f"The Hub doesn't accept the token with which '{id}' was asked for.", _LOGIN_AGAIN
        )
    if response is not None:
        return RunError(
            f"The dataset '{id}' can't be read: {reason(error)}.",
            "Run the same command again later; https://status.huggingface.co tells of troubles.",
        )
    text = str(error)
    if "Config name is missing" in text or "BuilderConfig" in text:
        listed = re.search(r"\[(.*?)\]", text)
        names = (listed[1] if listed else "").replace("'", "")
        return UsageError(
            f"The dataset '{id}' needs one of its configurations: {names or 'see its page'}.",
            f"Choose one, e.g. --config {names.split(',')[0] or 'NAME'}.",
        )
    if "scripts are no longer supported" in text:
        return RunError(
            f"The dataset '{id}' is made by a script, which is never run.",
            f"Look for a Parquet version of it, e.g. its revision: {id}@refs/convert/parquet",
        )
    first_line = plain(text.splitlines()[0]) if text else type(error).__name__
    cause = f" ({plain(str(error.__cause__))})" if str(error.__cause__ or "") else ""
    return RunError(
        f"The dataset '{id}' can't be loaded: {first_line}{cause}", "See its page on the Hub."
    )


def _explain_access(
    error: Exception, thing: str, page: str, revision: str | None, nor: str = ""
) -> RunError | None:
    """Why a repository isn't there for this user; None if that isn't it."""
    from huggingface_hub import constants, errors

    # The errors of `datasets` are known by name, as it is slow to import, and by their words.
    is_lost = type(error).__name__ == "DatasetNotFoundError"
    page = f"{constants.ENDPOINT}/{page}"
    if isinstance(error, errors.GatedRepoError) or (is_lost and "gated" in str(error)):
        return RunError(
            f"The {thing} is gated: its owner lets only those in who accepted its terms.",
            f"Accept them at {page}, then log in with `hf auth login` (or set HF_TOKEN) and run "
            "the same command again.",
        )
    if isinstance(error, errors.RevisionNotFoundError) or (is_lost and "Revision" in str(error)):
        return RunError(
            f"The {thing} has no revision '{revision}'.",
            f"See its branches, tags and commits at {page}/commits/main.",
        )
    if isinstance(error, errors.RepositoryNotFoundError) or is_lost:
        return RunError(
            f"There is no {thing} on the Hub, or it is private{nor}.",
            "Check the spelling. If it is private, log in with `hf auth login` (or set HF_TOKEN).",
        )
    return None


def _find_outage(error: BaseException) -> BaseException | None:
    """What says what came in an answer's place, or how long nothing came; None if not that."""
    from huggingface_hub.errors import FileMetadataError

    if response_of(error) is not None:
        return None
    kinds = BadAnswer | GaveUp | FileMetadataError
    found = (one for one in causes(error) if isinstance(one, kinds))
    return next((one for one in found if not isinstance(one, GaveUp) or one.outage), None)


def explain_push(error: BaseException, what: str, kind: str, card_hint: str) -> SynfillError:
    """Why something could not be pushed.

    Args:
        error: What huggingface_hub raised.
        what: What was tried ("The upload to alice/pets").
        kind: What was to be pushed ("dataset").
        card_hint: What to do where the Hub refuses its card.
    """
    from huggingface_hub import errors

    def failed(why: str, hint: str) -> RunError:
        return RunError(f"{what} failed: {why}.", hint)

    if isinstance(error, errors.LocalTokenNotFoundError):
        return RunError(
            "You are not logged in to the Hub, which a push needs.",
            "Run: hf auth login   (or set HF_TOKEN to a token with write access)",
        )
    if isinstance(error, errors.HFValidationError):
        return UsageError(f"{what} failed: {plain(str(error))}", "Choose another --repo-id.")
    if "HF_HUB_OFFLINE" in str(error):
        return failed("HF_HUB_OFFLINE is set", "Unset it for a push.")
    if isinstance(error, BadAnswer):
        return failed(
            reason(error),
            "A proxy or a page of the network may have answered in its place: check HF_ENDPOINT "
            "and the connection, and https://status.huggingface.co.",
        )
    response = response_of(error)
    status = response.status_code if response is not None else 0
    words = words_of(response) if response is not None else plain(str(error))
    line = words or "no reason given"
    if response is not None and status not in PASSING and is_from_storage(response):
        return failed(
            f"the storage behind the Hub refuses a file (status {status}: {line})",
            "That says nothing of your rights. If it goes on, check this machine's clock.",
        )
    if status == 401:
        why = "the Hub doesn't accept the token; it has expired or was revoked"
        return failed(why, _LOGIN_AGAIN)
    is_full = _QUOTA.search(words) and (status == 403 or not is_passing(error))
    if status in (402, 413) or is_full:
        return failed(
            f"the storage of the account is full ({line})",
            "Make room or get more at https://huggingface.co/settings/billing.",
        )
    if status == 403:
        return failed(
            f"the token may not do that ({line})",
            "Use a token with write access there: https://huggingface.co/settings/tokens",
        )
    if "Invalid metadata" in str(error):
        return RunError(
            f"{what} failed: the Hub refuses the {kind} card. {plain(str(error))}", card_hint
        )
    why, hint = reason(error).rstrip("."), ""
    if is_passing(error):
        hint = "Check the connection, and https://status.huggingface.co."
    elif response is None and error.__cause__ is not None:
        # "Error while uploading ..." alone says nothing.
        why = f"{why}: {plain(str(error.__cause__)) or type(error.__cause__).__name__}"
    said = f" ({words})" if 400 <= status < 500 and words else ""
    return failed(f"{why.rstrip('.')}{said}", hint)


def words_of(response: Any) -> str:
    """What the Hub, or the storage behind it, says in an error answer; "" if nothing.

    In one line, without tokens, and without what follows "?" in addresses, which may give rights.
    """
    said: object = response.headers.get("X-Error-Message")
    text = text_of(response)
    if not said:
        try:
            body = json.loads(text)
        except (ValueError, RecursionError):
            body = None
        if isinstance(body, dict):
            said = body.get("error") or body.get("message")
            said = said.get("message") if isinstance(said, dict) else said
        elif found := _XML.search(text):
            said = found[1]
    if not isinstance(said, str):
        return ""
    said = _QUERY.sub(r"\1", " ".join(said.split())).rstrip(".")
    said = plain("".join(c for c in said if c.isprintable()))
    return said if len(said) <= _LONGEST else f"{said[:_LONGEST]}..."
