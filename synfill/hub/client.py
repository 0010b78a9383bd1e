"""How this process talks to the Hub: one client for reading, downloading and pushing alike.

huggingface_hub makes its HTTP client through a factory, and makes it anew after an outage, so the
factory is where limits of time and patience belong.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from synfill.errors import UsageError
from synfill.hub.retry import PUSHING, Notify, patience, send
from synfill.masking import mask

TIMEOUT = 60.0
"""Seconds for a connection to be made, and without a byte before it counts as broken."""
SLOW_TIMEOUT = 300.0
"""The same where the Hub works on what it was sent, before it answers: a commit, a stored file."""

_SLOW = re.compile(r"/commit/|/complete_multipart")
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
    """Let huggingface_hub, for the rest of this process, ask the Hub as this package says.

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
        handler.addFilter(_is_worth_showing)
    _is_prepared = True


def _is_worth_showing(record: logging.LogRecord) -> bool:
    return record.levelno != logging.WARNING or record.name not in (
        "huggingface_hub.utils._http",
        "huggingface_hub.file_download",
    )


@contextmanager
def pushing(notify: Notify) -> Iterator[None]:
    """Bear long outages, and hide huggingface_hub's own messages.

    Args:
        notify: Takes a note before each wait.

    Raises:
        UsageError: HF_ENDPOINT or the token can't be what it should be.
    """
    prepare_client()
    # It logs addresses of storage that anyone who reads them may write to.
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with patience(PUSHING, notify):
            yield
    finally:
        logger.setLevel(level)


def _make_patient(client: Any) -> Any:
    """Give a client limits of time, and a `send` that asks again."""
    send_once = client.send

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
        return send(send_once, request, options)

    # On this object alone: the class belongs to one of two libraries, depending on the release.
    # `send` and no transport, as it follows redirects: an address of the storage that has expired
    # is asked for anew.
    vars(client)["send"] = send_patiently
    # huggingface_hub closes the client that all threads share when one of them can't connect; the
    # others' requests would end with "the client has been closed". Left open, its connections end
    # with the object, when the last request that uses it is done.
    vars(client)["close"] = lambda: None
    return client
