"""What fails when the Hub is asked: which failures may pass by themselves, and why, in few words.

Knows no repository and asks nothing; `retry.py` asks again by it, `errors.py` explains by it.
"""

from __future__ import annotations

import email.utils
import json
import re
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from urllib.parse import urlsplit

from synfill.masking import is_signed, mask
from synfill.wording import format_duration

Result = TypeVar("Result")

# 412: another commit was made meanwhile, which may be one whose answer was lost.
PASSING = frozenset({408, 412, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})
_LIBRARIES = ("huggingface_hub", "httpx", "httpx2")
_LONGEST_LINE = 400
# In huggingface_hub's own words; the last: a download has another size than the Hub said.
_ABOUT_ANSWERS = re.compile(
    r"improperly formatted|malformed response|invalid server response|consistency check failed",
    re.IGNORECASE,
)


class GaveUp(ConnectionError):
    """A request was sent as often as patience allows. The cause of an answer's own error, or
    caused by one of the connection; its text says what is wrong, as that of BadAnswer does.

    Args:
        outage: Seconds in which no request at all has succeeded, where that is why; else 0.
    """

    def __init__(self, outage: float = 0) -> None:
        super().__init__(
            f"nothing that the Hub was asked has succeeded for {format_duration(outage)}"
            if outage
            else "the connection to the Hub failed"
        )
        self.outage = outage


class BadAnswer(ConnectionError):
    """The Hub answered, but with what can't be: no JSON, other fields, another type, old hashes.

    A server in between may have answered, so that asking again may help. Its text says what is
    wrong, in words that may follow "failed: ".
    """

    def __init__(self, what: str = "the Hub's answer has not the form that it should have") -> None:
        super().__init__(what)


def understand(question: Callable[[], Result]) -> Result:
    """Call the Hub once.

    Raises:
        BadAnswer: A library can't make sense of the answer: a page, null, [], {}, other types.
        Exception: Whatever else it raises.
    """
    try:
        return question()
    except json.JSONDecodeError as error:
        raise BadAnswer("the Hub's answer is no JSON but something else, a page perhaps") from error
    except (
        AttributeError, AssertionError, LookupError, TypeError, ValueError, OSError
    ) as error:  # fmt: skip
        if not _trips_over_an_answer(error):
            raise
        raise BadAnswer from error


def _trips_over_an_answer(error: Exception) -> bool:
    """Whether huggingface_hub raised it while it read an answer, not anyone a mistake of theirs."""
    where, _ = list(traceback.walk_tb(error.__traceback__))[-1]
    module = str(where.f_globals.get("__name__", ""))
    library = module.partition(".")[0]
    if isinstance(error, UnicodeDecodeError):
        return library in ("json", *_LIBRARIES)
    if response_of(error) is not None:
        return False
    if isinstance(error, ValueError | OSError):
        # Most of them say what is wrong with what it was asked; not those on dates.
        is_about_date = module == "huggingface_hub.utils._datetime"
        is_about_answer = bool(_ABOUT_ANSWERS.search(str(error)))
        return is_about_date or (library == "huggingface_hub" and is_about_answer)
    return library in _LIBRARIES


def failures() -> tuple[type[Exception], ...]:
    """What huggingface_hub raises when something is wrong: with the way, the Hub, or a value.

    Errors while a file is sent come as RuntimeError, a bad answer or a bad card as ValueError.
    """
    return (transport_error(), OSError, ValueError, RuntimeError)


def transport_error() -> type[Exception]:
    """The base of all errors of the HTTP client, which differs between releases."""
    from huggingface_hub import errors

    base: type[Exception] = vars(errors)["HTTPError"]
    return base


def may_pass(error: BaseException) -> bool:
    """Whether asking again may help: it passes by itself, and wasn't asked often enough yet."""
    return is_passing(error) and not any(isinstance(one, GaveUp) for one in causes(error))


def is_passing(error: BaseException) -> bool:
    """Whether it passes by itself: the Hub is busy, or the connection broke."""
    from huggingface_hub.errors import OfflineModeIsEnabled

    chain = list(causes(error))
    if any(isinstance(one, OfflineModeIsEnabled) for one in chain):
        return False
    response = response_of(error)
    if response is not None:
        return response.status_code in PASSING or has_expired(response)
    passing = (transport_error(), ConnectionError, TimeoutError)
    return any(isinstance(one, passing) or _is_page(one) for one in chain)


def is_offline(error: BaseException) -> bool:
    """Whether it is the way to the Hub that failed, or the Hub as a whole."""
    for one in causes(error):
        if isinstance(one, BadAnswer) or response_of(one) is not None:
            return False
        if isinstance(one, transport_error() | ConnectionError):
            return True
    return False


def is_unreachable(error: BaseException) -> bool:
    """Whether no connection could be made at all."""
    # By its name, as the class belongs to one of two libraries, depending on the release.
    return any(type(e).__name__ in ("ConnectError", "ConnectTimeout") for e in causes(error))


def reason(error: BaseException) -> str:
    """Why it failed, in a few words, without tokens and addresses."""
    response = response_of(error)
    if response is not None and not isinstance(error, BadAnswer):
        said = f"the Hub answered with status {response.status_code}"
        if response.status_code == 429:
            said = "the Hub says that there were too many requests"
        elif response.status_code == 412:
            said = "another commit was made meanwhile"
        elif has_expired(response):
            said = (
                f"the Hub's storage answered with status {response.status_code}: the address that "
                "the Hub gave has expired, or isn't accepted"
            )
        requested = requested_wait(response) or 0
        return f"{said}, and to wait {format_duration(requested)}" if requested >= 60 else said
    for one in causes(error):
        if isinstance(one, BadAnswer | GaveUp):
            return plain(str(one))
        if _is_page(one):
            return str(BadAnswer())
    if is_passing(error):
        return str(GaveUp())
    text = next((line for line in str(error).splitlines() if line.strip()), "")
    return plain(text) or type(error).__name__


def plain(text: str) -> str:
    """The text in one line of bearable length, without tokens and the like."""
    line = " ".join(mask(text).split())
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}..."


def is_from_storage(response: Any) -> bool:
    """Whether an answer is one of the storage behind the Hub, not of the Hub itself.

    It knows nothing of anyone's rights: the address that the Hub gave is the permission, for some
    minutes.
    """
    from huggingface_hub import constants

    url = str(response.request.url)
    return is_signed(url) or urlsplit(url).hostname != urlsplit(constants.ENDPOINT).hostname


def has_expired(response: Any) -> bool:
    """Whether the storage refused an address, so that asking the Hub for another one helps.

    What is read may be refused for nothing else. What is sent there may be, so that it must say so.
    """
    if response.status_code not in (400, 401, 403, 410) or not is_from_storage(response):
        return False
    is_read = response.request.method in ("GET", "HEAD")
    return is_read or "expired" in text_of(response).lower()


def text_of(response: Any) -> str:
    """The body of an answer, where it can still be had."""
    try:
        return str(response.text)
    except Exception:  # A streamed answer that wasn't read: the class differs between releases.
        return ""


def _is_page(error: BaseException) -> bool:
    """Whether an answer isn't JSON, or hasn't the Hub's headers: a server in between made it."""
    from huggingface_hub.errors import FileMetadataError

    return isinstance(error, json.JSONDecodeError | FileMetadataError)


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error, what caused it, what caused that, and so on."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__


def response_of(error: BaseException) -> Any:
    """The Hub's answer that an error comes from; None where there was none."""
    from huggingface_hub.errors import HfHubHTTPError

    return next((e.response for e in causes(error) if isinstance(e, HfHubHTTPError)), None)


def requested_wait(response: Any) -> float | None:
    """How many seconds the Hub says to wait, in an answer; None where it doesn't."""
    said = response.headers.get("Retry-After", "").strip()
    if said.isdigit():
        return float(said)
    if said:
        try:
            return max(0.0, email.utils.parsedate_to_datetime(said).timestamp() - time.time())
        except ValueError:
            pass
    # The Hub's own header: "api";r=0;t=55 has 0 requests left, and new ones in 55 seconds.
    limit = re.search(r"r=0;\s*t=(\d+)", response.headers.get("ratelimit", ""))
    return float(limit[1]) if limit and response.status_code == 429 else None
