"""Parts of a file on the Hub: exactly the bytes that are asked for, checked as far as can be."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

from synfill.hub.failures import BadAnswer

_FOOTER_END = 8
"""A Parquet file ends with the length of its footer, in four bytes, and four that say PAR1."""
_SLACK = 64
_LONGEST_GUESS = 1 << 16

Fetch = Callable[[int, int], bytes]
"""Gives the bytes from one position up to another."""


def fetch_range(url: str, size: int, first: int, end: int) -> bytes:
    """A part of a file.

    Its length and the file's size are compared. Its content can't be: the Hub knows hashes of
    whole files only. (Parquet's own checksums are, where a file has them.)

    Args:
        url: The file.
        size: Its bytes, as listed.
        first: Where the part begins.
        end: Where it ends, exclusive.

    Raises:
        BadAnswer: The answer is something else than this part.
        Exception: What huggingface_hub raises.
    """
    from huggingface_hub import constants, get_session
    from huggingface_hub.utils._headers import build_hf_headers
    from huggingface_hub.utils._http import hf_raise_for_status

    headers = {
        **build_hf_headers(),
        "range": f"bytes={first}-{end - 1}",
        # Compressed, it would have another length.
        "accept-encoding": "identity",
    }
    timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
    with get_session().stream("GET", url, headers=headers, timeout=timeout) as response:
        hf_raise_for_status(response)
        is_whole = response.status_code == 200 and (first, end) == (0, size)
        if response.status_code != 206 and not is_whole:
            raise BadAnswer(
                f"the Hub answered with status {response.status_code} and something else where a "
                "part of a file was asked for"
            )
        total = response.headers.get("content-range", "").rpartition("/")[2]
        if total.isdigit() and int(total) != size:
            raise BadAnswer(f"the Hub sends a file of {int(total):,} bytes, and lists {size:,}")
        data = bytearray()
        for block in response.iter_bytes():
            data += block
            # A server that takes no ranges would send all of it.
            if len(data) > end - first:
                break
    if len(data) != end - first:
        count = f"{len(data):,}" if len(data) < end - first else "more"
        raise BadAnswer(f"the Hub sent {count} bytes where {end - first:,} were asked for")
    return bytes(data)


@dataclass
class FooterGuess:
    """How long the footers of a dataset's files are: shards that are alike have like footers."""

    bytes: int = _FOOTER_END

    def learn(self, found: int) -> None:
        """Take in the length of one."""
        self.bytes = min(max(self.bytes, found + _SLACK), _LONGEST_GUESS)


def fetch_footer(fetch: Fetch, size: int, guess: FooterGuess) -> bytes:
    """The end of a Parquet file, from its footer on, in one small request or two.

    What is no Parquet file gives some bytes that are none either.

    Args:
        fetch: Gives its bytes.
        size: How many it has.
        guess: What the files before have taught; learns from this one.
    """
    end = fetch(max(0, size - guess.bytes), size) if size else b""
    wanted = int.from_bytes(end[-_FOOTER_END:-4], "little") + _FOOTER_END
    if not end.endswith(b"PAR1") or not _FOOTER_END < wanted <= size:
        return end
    guess.learn(wanted)
    if wanted > len(end):
        end = fetch(size - wanted, size - len(end)) + end
    return end[-wanted:]


class RangedFile(io.RawIOBase):
    """A file of which exactly what is read is fetched; nothing is kept, nothing read ahead.

    Args:
        size: Its bytes.
        fetch: Gives them.
    """

    def __init__(self, size: int, fetch: Fetch) -> None:
        super().__init__()
        self._size = size
        self._fetch = fetch
        self._position = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move; the new position."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """Bytes from the position on; all that are left for -1."""
        left = max(0, self._size - self._position)
        count = left if size is None or size < 0 else min(size, left)
        data = self._fetch(self._position, self._position + count) if count else b""
        self._position += count
        return data

    def readall(self) -> bytes:
        """All that is left."""
        return self.read()
