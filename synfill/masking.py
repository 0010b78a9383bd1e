"""Texts without what nobody else may read: tokens, passwords in addresses, signed addresses.

`mask` is applied where a text leaves the program, whoever wrote it: this project, a library, or
Python's own traceback printer. Knows nothing of the project.
"""

from __future__ import annotations

import base64
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast
from urllib.parse import quote, unquote

SIGNED = re.compile(
    r"\?[^\s\"'<>]*\b(?:X-Amz-[\w-]+|X-Goog-[\w-]+|Signature|Policy|Key-Pair-Id|sig|token)="
    r"[^\s\"'<>]*",
    re.IGNORECASE,
)
"""The query of an address that is its own permission: who reads it may use it."""

_TOKEN = re.compile(r"\b(?:hf|api_org)_\w{4,}")
# Up to the last @ before the path: a password may hold one.
_USERINFO = re.compile(r"(?<=://)[^/?#\s\"'<>]*@")
_TOKEN_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_TOKEN")
_ADDRESS_VARIABLES = ("HF_ENDPOINT", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_SHORTEST = 4
"""Letters below which a secret is too common a string to be replaced wherever it stands."""
_MASK = "***"


def mask(text: str) -> str:
    """The text without tokens, passwords in addresses and the queries of signed addresses.

    Those that look like one are found by their form; the token and the addresses that are in use
    are known, and found in any form.
    """
    text = SIGNED.sub(f"?{_MASK}", _USERINFO.sub(f"{_MASK}@", text))
    for secret in _secrets():
        if secret in text:
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", _MASK, text)
    return _TOKEN.sub(_MASK, text)


def _secrets() -> list[str]:
    """What the user's own settings hold, in the forms in which it may be written; long ones first.

    Asked each time: the token may be another one after a login.
    """
    found = {os.environ.get(name, "") for name in _TOKEN_VARIABLES}
    if "huggingface_hub" in sys.modules:
        from huggingface_hub import get_token

        # Read from a file where no variable has it; without that file, there is none to mask.
        with suppress(OSError, UnicodeDecodeError):
            found.add(get_token() or "")
    for name in _ADDRESS_VARIABLES:
        for address in (os.environ.get(name, ""), os.environ.get(name.lower(), "")):
            found |= _passwords(address)
    forms = set()
    for secret in {form for text in found for form in (text, text.strip())}:
        forms |= {secret, quote(secret, safe=""), repr(secret)[1:-1], ascii(secret)[1:-1]}
        # As a header that was refused is shown.
        forms.add(repr(secret.encode(errors="surrogateescape"))[2:-1])
    return sorted((f for f in forms if len(f) >= _SHORTEST), key=len, reverse=True)


def _passwords(address: str) -> set[str]:
    authority = address.partition("://")[2].partition("/")[0]
    user, separator, _ = authority.rpartition("@")
    if not separator:
        return set()
    name, colon, password = user.partition(":")
    plain = f"{unquote(name)}:{unquote(password)}"
    header = base64.b64encode(plain.encode(errors="surrogateescape")).decode()
    secret = password if colon else name
    return {user, secret, unquote(secret), header}


def is_signed(address: str) -> bool:
    """Whether an address carries its own permission, which expires."""
    return SIGNED.search(address) is not None


class _Masked:
    """A stream that masks what is written to another, which is all else that it is asked for."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(mask(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def masked_streams() -> Iterator[None]:
    """Mask what this process prints, by whichever way, until the end of the block."""
    before = sys.stdout, sys.stderr
    masked = tuple(cast(TextIO, _Masked(stream)) for stream in before)
    sys.stdout, sys.stderr = masked
    try:
        yield
    finally:
        # Whoever put another one there meanwhile (click does when its reader has left) meant it.
        if sys.stdout is masked[0]:
            sys.stdout = before[0]
        if sys.stderr is masked[1]:
            sys.stderr = before[1]
