"""Why the Hub would not take a repository, in a user's words and in the Hub's own."""

from __future__ import annotations

import json
import re
from typing import Any

from synfill.errors import RunError, SynfillError, UsageError
from synfill.hub.retry import (
    PASSING,
    BadAnswer,
    is_of_storage,
    may_pass,
    plain,
    reason,
    response_of,
    text_of,
)
from synfill.hub.upload.kinds import Kind

_QUOTA = re.compile(r"quota|storage (?:limit|space)|limit (?:is )?reached|payment", re.IGNORECASE)
_QUERY = re.compile(r"(https?://[^\s?'\"<>]+)\?[^\s'\"<>]*")
_XML = re.compile(r"<Message>([^<]*)</Message>")
_LONGEST = 300


def explain(error: BaseException, what: str, kind: Kind) -> SynfillError:
    """What went wrong, for the user.

    Args:
        error: What huggingface_hub raised.
        what: What was tried ("The upload to alice/pets").
        kind: What was to be pushed.
    """
    from huggingface_hub import errors

    if isinstance(error, errors.LocalTokenNotFoundError):
        return RunError(
            "You are not logged in to the Hub, which a push needs.",
            "Run: hf auth login   (or set HF_TOKEN to a token with write access)",
        )
    if isinstance(error, errors.HFValidationError):
        return UsageError(f"{what} failed: {plain(str(error))}", "Choose another --repo-id.")
    if "HF_HUB_OFFLINE" in str(error):
        return RunError(f"{what} failed: HF_HUB_OFFLINE is set.", "Unset it for a push.")
    if isinstance(error, BadAnswer):
        return RunError(
            f"{what} failed: {reason(error)}.",
            "A proxy or a page of the network may have answered in its place: check HF_ENDPOINT "
            "and the connection, and https://status.huggingface.co.",
        )
    response = response_of(error)
    status = response.status_code if response is not None else 0
    said = words_of(response) if response is not None else plain(str(error))
    if response is not None and status not in PASSING and is_of_storage(response):
        return RunError(
            f"{what} failed: the storage behind the Hub refuses a file (status {status}: "
            f"{_first_line(said)}).",
            "That says nothing of your rights. If it goes on, check this machine's clock.",
        )
    if status == 401:
        return RunError(
            f"{what} failed: the Hub doesn't accept the token; it has expired or was revoked.",
            "Run: hf auth login --force   (or correct HF_TOKEN, which comes first)",
        )
    if status in (402, 413) or (_QUOTA.search(said) and (status == 403 or not may_pass(error))):
        return RunError(
            f"{what} failed: the storage of the account is full ({_first_line(said)}).",
            "Make room or get more at https://huggingface.co/settings/billing.",
        )
    if status == 403:
        return RunError(
            f"{what} failed: the token may not do that ({_first_line(said)}).",
            "Use a token with write access there: https://huggingface.co/settings/tokens",
        )
    if "Invalid metadata" in str(error):
        return RunError(
            f"{what} failed: the Hub refuses the {kind.name} card. {plain(str(error))}",
            kind.card_hint,
        )
    hint = "Check the connection, and https://status.huggingface.co." if may_pass(error) else ""
    words = f" ({said})" if 400 <= status < 500 and said else ""
    why = reason(error)
    if response is None and error.__cause__ is not None and not may_pass(error):
        # "Error while uploading ..." alone says nothing.
        why = f"{why.rstrip('.')}: {plain(str(error.__cause__)) or type(error.__cause__).__name__}"
    return RunError(f"{what} failed: {why.rstrip('.')}{words}.", hint)


def words_of(response: Any) -> str:
    """What the Hub, or the storage behind it, says in an error answer; "" if nothing.

    Without tokens, and without what follows "?" in addresses, which may give rights.
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


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "no reason given")
