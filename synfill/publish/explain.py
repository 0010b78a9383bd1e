"""Why the Hub would not take a repository, in a user's words."""

from __future__ import annotations

import re

from synfill.errors import RunError, SynfillError, UsageError
from synfill.patience import may_pass, plain, reason, response_of
from synfill.publish.kinds import Kind

_QUOTA = re.compile(r"quota|storage (?:limit|space)|limit (?:is )?reached|payment", re.IGNORECASE)


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
    response = response_of(error)
    status = response.status_code if response is not None else 0
    said = plain(str(getattr(response, "headers", {}).get("X-Error-Message") or error))
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
    return RunError(f"{what} failed: {reason(error)}.", hint)


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "no reason given")
