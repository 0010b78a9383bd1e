"""Asking the Hub again, in one place: `send` repeats requests, for all that huggingface_hub does.

A request that `send` gave up on is never sent again, neither by huggingface_hub nor by `ask`. What
no single request shows (an answer that makes no sense, a download that is damaged or broke off)
`ask` repeats as a whole.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from synfill.hub.failures import (
    PASSING,
    GaveUp,
    failures,
    has_expired,
    is_unreachable,
    may_pass,
    reason,
    requested_wait,
    response_of,
    transport_error,
    understand,
)
from synfill.masking import mask

Result = TypeVar("Result")
Notify = Callable[[str], None]
"""Takes a line for the user."""

FIRST_WAIT = 1.0
"""Seconds before the second try; each further wait is twice as long, give or take a half."""
_LONGEST_WAIT = 60.0
_NOTE_EVERY = 5.0
_ANOTHER_OUTAGE = 120.0
"""Seconds without any request after which a failure has nothing to do with the last one."""
# Not 412: another commit was made, which sending the same again doesn't undo.
_REPEATED = PASSING - {412}


@dataclass(frozen=True)
class Patience:
    """How long to go on asking.

    Attributes:
        tries: How often to ask in all.
        longest_request: Seconds that the Hub may say to wait; if it says more, the call fails.
        longest_outage: Seconds in which no request succeeds after which the next failure is final.
        needs_hub: Whether to go on where the Hub could never be reached; a cache may do else.
    """

    tries: int
    longest_request: float
    longest_outage: float
    needs_hub: bool


READING = Patience(tries=6, longest_request=300, longest_outage=120, needs_hub=False)
"""Half a minute, as nothing is lost by giving up."""
PUSHING = Patience(tries=9, longest_request=900, longest_outage=600, needs_hub=True)
"""Three minutes: hours of work are at stake."""
ONCE_MORE = replace(PUSHING, tries=2)
"""For a look at what is there, after something else has failed already."""


@dataclass
class _State:
    """What the threads of this process know of the Hub.

    Attributes:
        patience: How long to go on.
        notify: Takes a note before each wait.
        has_answered: Whether it ever did: if not, there may be no connection at all.
        failing_since: When the first request failed after the last that didn't; None for now.
        last_failed: When the last one did.
        last_noted: When a note went out.
    """

    patience: Patience = READING
    notify: Notify = logging.getLogger("synfill").warning
    has_answered: bool = False
    failing_since: float | None = None
    last_failed: float = float("-inf")
    last_noted: float = float("-inf")
    lock: threading.Lock = field(default_factory=threading.Lock)

    def succeed(self) -> None:
        """Take in that a request was answered."""
        self.has_answered, self.failing_since = True, None

    def fail(self, began: float) -> float:
        """Take in that a request failed that began at a time; since when nothing succeeds, in s."""
        with self.lock:
            if self.failing_since is None or began - self.last_failed > _ANOTHER_OUTAGE:
                self.failing_since = began
            self.last_failed = time.monotonic()
            return self.last_failed - self.failing_since

    def note(self, text: str) -> None:
        """Say it, unless something was said a moment ago: threads fail together."""
        with self.lock:
            now = time.monotonic()
            if now - self.last_noted < _NOTE_EVERY:
                return
            self.last_noted = now
        self.notify(mask(text))


_STATE = _State()


@contextmanager
def patience(allowed: Patience, notify: Notify | None = None) -> Iterator[None]:
    """Have another patience than usual.

    Args:
        allowed: How long to go on.
        notify: Takes a note before each wait; None for whatever does already.
    """
    before = _STATE.patience, _STATE.notify
    _STATE.patience, _STATE.notify = allowed, notify or _STATE.notify
    try:
        yield
    finally:
        _STATE.patience, _STATE.notify = before


def ask(what: str, question: Callable[[], Result]) -> Result:
    """Call the Hub, and call again while what fails may pass by itself.

    Args:
        what: What is asked, for the message ("The upload").
        question: The call; calling it again must do no harm.

    Raises:
        Exception: What the last call raised; BadAnswer where that was nonsense.
    """
    allowed = _STATE.patience
    for attempt in range(1, allowed.tries + 1):
        try:
            return understand(question)
        except failures() as error:
            response = response_of(error)
            requested = requested_wait(response) if response is not None else None
            is_final = (
                attempt == allowed.tries
                or not may_pass(error)
                or (requested or 0) > allowed.longest_request
                or (is_unreachable(error) and not allowed.needs_hub)
            )
            if is_final:
                raise
            wait = _choose_wait(attempt, requested)
            _STATE.notify(
                f"{what}: {reason(error)}. Trying again in {wait:.0f} s "
                f"({attempt} of {allowed.tries - 1})."
            )
        time.sleep(wait)
    raise AssertionError("unreachable")


def _choose_wait(attempt: int, requested: float | None) -> float:
    # Jitter, so that many clients that failed together don't come back together.
    grown = min(_LONGEST_WAIT, FIRST_WAIT * 2 ** (attempt - 1)) * random.uniform(0.5, 1.5)
    return grown if requested is None else requested


def send(send_once: Callable[..., Any], request: Any, options: dict[str, Any]) -> Any:
    """Send a request; again, where what failed may pass by itself.

    Args:
        send_once: The HTTP client's own method.
        request: The client's request.
        options: What else the client was asked for.

    Returns:
        The answer. One that says to come back, only where the request can't be repeated.

    Raises:
        GaveUp: No connection held, the last time as the first.
        HfHubHTTPError: The Hub says to come back, the last time too, or to wait for longer than
            anyone would. Caused by GaveUp, and no answer, so that nobody sends the request again.
        Exception: What the client raises, where the request can't be repeated, or nothing could
            ever be reached.
    """
    allowed, start = _STATE.patience, _find_start(request)
    for attempt in range(1, allowed.tries + 1):
        if start is not None and attempt > 1:
            _body_of(request).seek(start)
        is_last = attempt == allowed.tries
        began, requested = time.monotonic(), None
        try:
            response = send_once(request, **options)
        except transport_error() as error:
            outage = _STATE.fail(began)
            if outage > allowed.longest_outage:
                raise GaveUp(outage) from error
            # As it came, as libraries then take what is in the cache. From now on they do at once.
            is_cut_off = is_unreachable(error) and not allowed.needs_hub
            if is_cut_off and is_last:
                _STATE.has_answered = False
            if not _may_repeat(request) or (is_cut_off and not _STATE.has_answered):
                raise
            if is_last:
                raise GaveUp from error
            what = _describe(error)
        else:
            expired = has_expired(response) and bool(response.history)
            if response.status_code not in _REPEATED and not expired:
                _STATE.succeed()
                return response
            what = f"the Hub answered with status {response.status_code}"
            requested = requested_wait(response)
            outage = _STATE.fail(began)
            is_too_long = (requested or 0) > allowed.longest_request
            if is_too_long or outage > allowed.longest_outage:
                _give_up(response)
            if not _may_repeat(request):
                return response
            if is_last:
                _give_up(response)
            response.close()
        wait = _choose_wait(attempt, requested)
        _STATE.note(f"{request.url.path}: {what}. Asking again in {wait:.0f} s.")
        time.sleep(wait)
    raise AssertionError("unreachable")


def _give_up(response: Any) -> None:
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils._http import hf_raise_for_status

    # Its body says why, where it can still be had.
    with suppress(transport_error()):
        response.read()
    try:
        hf_raise_for_status(response)
    except HfHubHTTPError as error:
        raise error from GaveUp()


def _may_repeat(request: Any) -> bool:
    """Whether a request can be sent a second time, and does no harm then."""
    # A commit whose answer was lost is refused the second time, as its parent isn't the newest
    # any more. A second pull request would be opened.
    if "create_pr" in request.url.params:
        return False
    has_all = request.method in ("GET", "HEAD") or isinstance(_body_of(request), bytes)
    return has_all or _find_start(request) is not None


def _body_of(request: Any) -> Any:
    """What a request sends: bytes, a file, or what is used up when it is sent."""
    return vars(request.stream).get("_stream")


def _find_start(request: Any) -> int | None:
    """Where in a file the content of a request begins; None where it is no file's."""
    body = _body_of(request)
    return body.tell() if hasattr(body, "seek") else None


def _describe(error: BaseException) -> str:
    if type(error).__name__ == "ConnectError":
        return "no connection could be made"
    if "Timeout" in type(error).__name__:
        return "there was no answer"
    return "the connection failed"
