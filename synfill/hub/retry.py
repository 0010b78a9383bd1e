"""Asking the Hub again where what failed may pass by itself.

huggingface_hub asks again by itself for some requests; whoami, create_repo, repo_info, refs,
validate-yaml and commit end at the first 503, 429 or cut connection. Asking again is safe for all
of these: what was made already is found to be there.
"""

from __future__ import annotations

import email.utils
import json
import random
import re
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from synfill.masking import is_signed, mask
from synfill.wording import format_duration

Result = TypeVar("Result")
Tell = Callable[[str], None]
"""Takes a line for the user."""

# 412: another commit was made meanwhile, which may be one whose answer was lost.
PASSING = frozenset({408, 412, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})


class GaveUp(ConnectionError):
    """Nothing that the Hub was asked has succeeded for a long time.

    Args:
        seconds: How long.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"nothing succeeded for {format_duration(seconds)}")
        self.seconds = seconds


class BadAnswer(ConnectionError):
    """The Hub answered, but with what can't be: no JSON, other fields, another type, old hashes.

    A server in between may have answered, so that asking again may help. Its text says what is
    wrong, in words that may follow "failed: ".
    """


@dataclass(frozen=True)
class Patience:
    """How long to go on asking.

    Attributes:
        tries: How often to ask in all.
        first_wait: Seconds before the second try; each further wait is twice as long.
        longest_wait: Seconds to wait at most, unless the Hub itself says more.
        longest_told: Seconds that the Hub may tell to wait; if it says more, the call fails.
        unreachable: Whether to go on too where no connection can be made at all.
    """

    tries: int = 7
    first_wait: float = 2.0
    longest_wait: float = 60.0
    longest_told: float = 900.0
    unreachable: bool = True


PATIENCE = Patience()
READING = Patience(tries=4, first_wait=1, longest_told=300, unreachable=False)
"""Where nothing is lost by giving up, and a cache may do without any connection."""
_LONGEST_LINE = 400
# In huggingface_hub's own words; the last: a download has another size than the Hub said.
_OF_ANSWERS = re.compile(
    r"improperly formatted|malformed response|invalid server response|consistency check failed",
    re.IGNORECASE,
)


def ask(
    what: str,
    question: Callable[[], Result],
    tell: Tell,
    patience: Patience = PATIENCE,
) -> Result:
    """Call the Hub, and call again while what fails may pass by itself.

    Args:
        what: What is asked, for the message ("the upload").
        question: The call; calling it again must do no harm.
        tell: Where a note goes before each wait.
        patience: How long to go on.

    Raises:
        Exception: What the last call raised.
    """
    for attempt in range(1, patience.tries + 1):
        try:
            return understood(question)
        except failures() as error:
            response = response_of(error)
            told = told_wait(response) if response is not None else None
            longest = patience.longest_told
            hopeless = not may_pass(error) or (_is_unreachable(error) and not patience.unreachable)
            if hopeless or attempt == patience.tries or (told or 0) > longest:
                raise
            # Jitter, so that many clients that failed together don't come back together.
            grown = min(patience.longest_wait, patience.first_wait * 2 ** (attempt - 1))
            wait = told if told is not None else grown * random.uniform(0.5, 1.5)
            tell(
                f"{what}: {reason(error)}. Trying again in {wait:.0f} s "
                f"({attempt} of {patience.tries - 1})."
            )
        time.sleep(wait)
    raise AssertionError("unreachable")


def understood(question: Callable[[], Result]) -> Result:
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
        raise bad_answer() from error


def bad_answer() -> BadAnswer:
    """The error for an answer that has another form than it should have."""
    return BadAnswer("the Hub's answer has not the form that it should have")


def _trips_over_an_answer(error: Exception) -> bool:
    """Whether huggingface_hub raised it while it read an answer, not anyone a mistake of theirs."""
    where, _ = list(traceback.walk_tb(error.__traceback__))[-1]
    module = str(where.f_globals.get("__name__", ""))
    library = module.partition(".")[0]
    if isinstance(error, UnicodeDecodeError):
        return library in ("json", "huggingface_hub", "httpx", "httpx2")
    if response_of(error) is not None:
        return False
    if isinstance(error, ValueError | OSError):
        # Most of them say what is wrong with what it was asked; not those on dates.
        is_of_date = module == "huggingface_hub.utils._datetime"
        return is_of_date or (library == "huggingface_hub" and bool(_OF_ANSWERS.search(str(error))))
    return library in ("huggingface_hub", "httpx", "httpx2")


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
    """Whether asking again may help: the Hub is busy, or the connection broke."""
    from huggingface_hub import errors

    if isinstance(error, errors.OfflineModeIsEnabled | GaveUp):
        return False
    if isinstance(error, errors.HfHubHTTPError):
        return error.response.status_code in PASSING or has_expired(error.response)
    if isinstance(error, transport_error() | ConnectionError | TimeoutError):
        return True
    if _is_page(error):
        return True
    return error.__cause__ is not None and may_pass(error.__cause__)


def reason(error: BaseException) -> str:
    """Why it failed, in a few words, without tokens and addresses."""
    if isinstance(error, BadAnswer):
        return plain(str(error))
    response = response_of(error)
    if response is not None:
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
        told = told_wait(response) or 0
        return f"{said}, and to wait {format_duration(told)}" if told >= 60 else said
    found = next((e for e in _chain(error) if isinstance(e, GaveUp)), None)
    if found is not None:
        return f"nothing that the Hub was asked has succeeded for {format_duration(found.seconds)}"
    if any(_is_page(e) for e in _chain(error)):
        return str(bad_answer())
    if may_pass(error):
        return "the connection to the Hub failed"
    text = next((line for line in str(error).splitlines() if line.strip()), "")
    return plain(text.strip()) or type(error).__name__


def plain(text: str) -> str:
    """The text in one line of bearable length, without tokens and the like."""
    line = " ".join(mask(text).split())
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}..."


def is_of_storage(response: Any) -> bool:
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
    if response.status_code not in (400, 401, 403, 410) or not is_of_storage(response):
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


def _is_unreachable(error: BaseException) -> bool:
    # By its name, as the class belongs to one of two libraries, depending on the release.
    return any(type(e).__name__ in ("ConnectError", "ConnectTimeout") for e in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__


def response_of(error: BaseException) -> Any:
    """The Hub's answer that an error comes from; None where there was none."""
    from huggingface_hub.errors import HfHubHTTPError

    return next((e.response for e in _chain(error) if isinstance(e, HfHubHTTPError)), None)


def told_wait(response: Any) -> float | None:
    """How many seconds the Hub says to wait, in an answer; None where it doesn't."""
    told = response.headers.get("Retry-After", "").strip()
    if told.isdigit():
        return float(told)
    if told and (when := _date(told)) is not None:
        return max(0.0, when - time.time())
    # The Hub's own header: "api";r=0;t=55 has 0 requests left, and new ones in 55 seconds.
    limit = re.search(r"r=0;\s*t=(\d+)", response.headers.get("ratelimit", ""))
    return float(limit[1]) if limit and response.status_code == 429 else None


def _date(text: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except ValueError:
        return None
