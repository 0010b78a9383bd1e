"""How this process talks to the Hub: one client for reading, downloading and pushing alike.

huggingface_hub makes its HTTP client through a factory, and makes it anew after an outage, so the
factory is where patience belongs: limits of time, asking again for single requests, an end after
too long an outage. The library's own repetition stays as it is where it has one. Repeating a
single request here keeps a whole upload or download from failing with every n-th one.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from synfill.errors import UsageError
from synfill.hub.retry import PASSING, GaveUp, Tell, has_expired, told_wait, transport_error
from synfill.masking import mask

TRIES = 4
FIRST_WAIT = 1.0
LONGEST_TOLD = 300.0
"""Seconds that the Hub may tell to wait; if it says more, the command ends and says so."""
TIMEOUT = 60.0
"""Seconds for a connection to be made, and without a byte before it counts as broken."""
SLOW_TIMEOUT = 300.0
"""The same where the Hub works on what it was sent, before it answers: a commit, a stored file."""
LONGEST_OUTAGE = 120.0
"""Seconds in which no request succeeds after which reading ends."""
_TOLD_EVERY = 5.0
_ANOTHER_OUTAGE = 120.0
"""Seconds without any request after which a failure has nothing to do with the last one."""

_SLOW = re.compile(r"/commit/|/complete_multipart")
# Not 412: another commit was made, which asking again doesn't undo.
_AGAIN = PASSING - {412}
_LOG = logging.getLogger("synfill")


@dataclass
class _State:
    """What the threads of this process know of the Hub.

    Attributes:
        tell: Where a note goes before each wait.
        longest_outage: Seconds.
        has_answered: Whether it ever did: if not, there may be no connection at all.
        failing_since: When the first request failed after the last that didn't; None for now.
        last_failed: When the last one did.
        last_told: When a note went out.
    """

    tell: Tell = _LOG.warning
    longest_outage: float = LONGEST_OUTAGE
    has_answered: bool = False
    failing_since: float | None = None
    last_failed: float = float("-inf")
    last_told: float = float("-inf")
    lock: threading.Lock = field(default_factory=threading.Lock)

    def succeeded(self) -> None:
        self.has_answered, self.failing_since = True, None

    def failed(self, began: float) -> float:
        """Seconds since when nothing else happens, by a request that began at a time."""
        with self.lock:
            if self.failing_since is None or began - self.last_failed > _ANOTHER_OUTAGE:
                self.failing_since = began
            self.last_failed = time.monotonic()
            return self.last_failed - self.failing_since

    def note(self, text: str) -> None:
        """Tell it, unless something was told a moment ago: threads fail together."""
        with self.lock:
            now = time.monotonic()
            if now - self.last_told < _TOLD_EVERY:
                return
            self.last_told = now
        self.tell(mask(text))


_STATE = _State()
_is_prepared = False


def check_endpoint() -> None:
    """Refuse an address in HF_ENDPOINT that can't be one; huggingface_hub needn't be loaded.

    Raises:
        UsageError: It has no http:// or https://, no host, or can't be read as an address.
    """
    address = os.environ.get("HF_ENDPOINT")
    if address is None:
        return
    try:
        parts = urlsplit(address.strip())
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname)
        is_good = is_good and (parts.port is None or parts.port > 0)
        is_good = is_good and address.isprintable() and " " not in address
    except ValueError:
        is_good = False
    if not is_good:
        raise UsageError(
            f"The environment variable HF_ENDPOINT is '{mask(address)}', which is no address of "
            "a Hub.",
            "Set it to one such as https://huggingface.co, or unset it.",
        )


def _check_token() -> None:
    from huggingface_hub import get_token

    where = "HF_TOKEN" if os.environ.get("HF_TOKEN") else "the token of hf auth login"
    hint = (
        "Copy it again, whole and alone, from https://huggingface.co/settings/tokens, and set "
        "HF_TOKEN or run: hf auth login --force"
    )
    try:
        token = get_token() or ""
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The token for the Hub ({where}) can't be read: {error}", hint) from None
    odd = [number for number, letter in enumerate(token, 1) if not 32 < ord(letter) < 127]
    if odd:
        raise UsageError(
            f"The token for the Hub ({where}) can't be one: its character {odd[0]} of "
            f"{len(token)} is none that a request's header can hold (letters and digits only).",
            hint,
        )


def prepare_client() -> None:
    """Let huggingface_hub, for the rest of this process, ask the Hub as this module says.

    To be called before anything is asked of the Hub; again does no harm.

    Raises:
        UsageError: HF_ENDPOINT or the token can't be what it should be.
    """
    global _is_prepared
    check_endpoint()
    _check_token()
    if _is_prepared:
        return
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils import _http

    # Whoever set one before (for a proxy, or certificates) keeps it: theirs makes the client.
    former: Callable[[], Any] = vars(_http)["_GLOBAL_CLIENT_FACTORY"]
    set_client_factory(lambda: _make_patient(former()))
    # Its own words on what fails hold addresses that anyone who reads them may write to.
    for handler in logging.getLogger("huggingface_hub").handlers:
        handler.addFilter(_is_worth_telling)
    _is_prepared = True


def _is_worth_telling(record: logging.LogRecord) -> bool:
    return record.levelno != logging.WARNING or record.name not in (
        "huggingface_hub.utils._http",
        "huggingface_hub.file_download",
    )


@contextmanager
def bearing(seconds: float, tell: Tell) -> Iterator[None]:
    """Bear other outages than usual.

    Args:
        seconds: How long nothing may succeed.
        tell: Where a note goes before each wait.
    """
    before = _STATE.tell, _STATE.longest_outage
    _STATE.tell, _STATE.longest_outage = tell, seconds
    try:
        yield
    finally:
        _STATE.tell, _STATE.longest_outage = before


def _make_patient(client: Any) -> Any:
    """Give a client limits of time, and a `send` that asks again."""
    send = client.send

    def send_patiently(request: Any, **options: Any) -> Any:
        is_slow = request.method == "PUT" or bool(_SLOW.search(request.url.path))
        limits = request.extensions.get("timeout") or {}
        # huggingface_hub says "no limit" with many requests, and for the client as a whole.
        limits = {
            "connect": limits.get("connect") or TIMEOUT,
            "read": limits.get("read") or (SLOW_TIMEOUT if is_slow else TIMEOUT),
            "write": limits.get("write") or TIMEOUT,
            "pool": limits.get("pool"),
        }
        request.extensions = {**request.extensions, "timeout": limits}
        return _send(send, request, options)

    # On this object alone: the class belongs to one of two libraries, depending on the release.
    vars(client)["send"] = send_patiently
    # huggingface_hub closes the client that all threads share when one of them can't connect; the
    # others' requests would end with "the client has been closed". Left open, its connections end
    # with the object, when the last request that uses it is done.
    vars(client)["close"] = lambda: None
    return client


def _send(send: Callable[..., Any], request: Any, options: dict[str, Any]) -> Any:
    """Send a request; again, where what failed may pass by itself.

    Raises:
        Exception: What the client raises at last.
        HfHubHTTPError: The Hub says to wait for longer than anyone would.
        GaveUp: Nothing has succeeded for too long.
    """
    from huggingface_hub.utils._http import hf_raise_for_status

    wait = FIRST_WAIT
    for attempt in range(1, TRIES + 1):
        began, told = time.monotonic(), None
        again = attempt < TRIES and _may_repeat(request)
        try:
            response = send(request, **options)
        except transport_error() as error:
            what = _named(error)
            outage = _STATE.failed(began)
            if outage > _STATE.longest_outage:
                raise GaveUp(outage) from error
            # Without any connection, what is in the cache does: no use in waiting for one.
            if not again or (_is_unreachable(error) and not _STATE.has_answered):
                _STATE.note(f"{request.url.path}: {what}.")
                raise
        else:
            expired = has_expired(response) and bool(response.history)
            if response.status_code not in _AGAIN and not expired:
                _STATE.succeeded()
                return response
            what = f"the Hub answered with status {response.status_code}"
            told = told_wait(response)
            outage = _STATE.failed(began)
            if (told or 0) > LONGEST_TOLD or outage > _STATE.longest_outage:
                # As an error, so that huggingface_hub neither waits nor asks again.
                _read(response)
                hf_raise_for_status(response)
            if not again:
                if (told or 0) >= _TOLD_EVERY:
                    _STATE.note(f"{request.url.path}: {what}, and to wait {told:.0f} s.")
                return response
            response.close()
        pause = wait if told is None else told
        _STATE.note(f"{request.url.path}: {what}. Asking again in {pause:.0f} s.")
        time.sleep(pause)
        wait *= 2
    raise AssertionError("unreachable")


def _may_repeat(request: Any) -> bool:
    """Whether a request can be sent a second time, and does no harm then."""
    # A commit whose answer was lost is refused the second time, as its parent isn't the newest
    # any more. A second pull request would be opened.
    if "create_pr" in request.url.params:
        return False
    # A file's content, which is used up: huggingface_hub rewinds and repeats these itself.
    return request.method in ("GET", "HEAD") or type(request.stream).__name__ == "ByteStream"


def _read(response: Any) -> None:
    """Have the body of an answer, where it can still be had: it may say why."""
    try:
        response.read()
    except transport_error():
        response.close()


def _is_unreachable(error: BaseException) -> bool:
    # By its name, as the class belongs to one of two libraries, depending on the release.
    return type(error).__name__ in ("ConnectError", "ConnectTimeout")


def _named(error: BaseException) -> str:
    if type(error).__name__ == "ConnectError":
        return "no connection could be made"
    if "Timeout" in type(error).__name__:
        return "there was no answer"
    return "the connection failed"
