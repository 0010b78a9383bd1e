"""What was found in a dataset's images, remembered, so that they needn't be decoded again.

A file a split in the user's cache folder. It only saves time: one that is missing, damaged or
somebody else's work counts as none.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import PIL
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from synfill.data.images import BadRow, Inspection
from synfill.errors import RunError
from synfill.files import atomic_write, user_cache
from synfill.reading import parse_json, read_regular
from synfill.records import ImageProfile

MOST_FILES: Final = 40
MOST_BYTES: Final = 256 << 20
"""What all files together may take; the ones that weren't used for longest go first."""

_MOST_CONTENT: Final = 1 << 30
_LARGEST: Final = 64 << 20
# Another number wherever `inspect` finds other things in the same bytes.
_MARK: Final = b"synfill inspection 1\n"
_DIGEST_SIZE: Final = 16

Table = Annotated[tuple[int, ...], Field(min_length=64, max_length=64)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Profile(_Strict):
    format: str
    mode: str
    size: tuple[Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]]
    jpeg_tables: int | None
    subsampling: int
    lossless: bool
    progressive: bool


class _Content(_Strict):
    """An Inspection without its codes; each set of JPEG tables stands once."""

    tables: list[tuple[Table, ...]]
    profiles: list[_Profile]
    bad: list[tuple[int, str, str]]
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    bytes: Annotated[int, Field(ge=0)]


class InspectionMemory:
    """The inspections that were made on this machine.

    Args:
        folder: Where they are; in the user's cache folder by default. A user without a home has
            none, and nothing is remembered.
    """

    def __init__(self, folder: Path | None = None) -> None:
        cache = user_cache()
        self._folder = folder or (cache / "inspections" if cache is not None else None)

    def recall(self, stamp: str | None, split: str, rows: NDArray[np.int64]) -> Inspection | None:
        """What was found before in these rows; None if that isn't known.

        Args:
            stamp: The source's stamp, taken now; None where it has none.
            split: The split.
            rows: The rows that were looked at, ascending.
        """
        path = self._path(stamp, split, rows)
        if path is None:
            return None
        try:
            found = _unpack(read_regular(path, _LARGEST), rows)
        except (OSError, ValueError, zlib.error):
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return found

    def keep(
        self, stamp: str | None, split: str, rows: NDArray[np.int64], found: Inspection
    ) -> None:
        """Remember what was found.

        Args:
            stamp: The source's stamp, taken before its images were read.
            split: The split.
            rows: The rows that were looked at, ascending.
            found: What was found in them.
        """
        path = self._path(stamp, split, rows)
        if path is None or len(packed := _pack(found)) > _LARGEST:
            return
        with contextlib.suppress(OSError, RunError):
            with atomic_write(path) as file:
                file.write(packed)
            _thin_out(path.parent)

    def _path(self, stamp: str | None, split: str, rows: NDArray[np.int64]) -> Path | None:
        if self._folder is None or stamp is None:
            return None
        key = blake2b(digest_size=_DIGEST_SIZE)
        # Another Pillow may read what this one can't.
        key.update(json.dumps([PIL.__version__, stamp, split]).encode())
        key.update(rows.astype("<i8").tobytes())
        return self._folder / key.hexdigest()


def _pack(found: Inspection) -> bytes:
    tables = list(dict.fromkeys(p.jpeg_tables for p in found.profiles if p.jpeg_tables is not None))
    position: dict[Any, int] = {table: index for index, table in enumerate(tables)}
    content = {
        "tables": tables,
        "profiles": [
            vars(p) | {"jpeg_tables": position.get(p.jpeg_tables)} for p in found.profiles
        ],
        "bad": [(bad.row, bad.where, bad.reason) for bad in found.bad],
        "digest": found.digest,
        "bytes": found.bytes,
    }
    # As ASCII: names of files need not be valid text.
    data = json.dumps(content).encode() + b"\n" + found.codes.astype("<i4").tobytes()
    return _MARK + blake2b(data, digest_size=_DIGEST_SIZE).digest() + zlib.compress(data, 1)


def _unpack(packed: bytes, rows: NDArray[np.int64]) -> Inspection:
    """Raises ValueError or zlib.error where it isn't what `_pack` made of these rows."""
    if not packed.startswith(_MARK):
        raise ValueError("another format")
    begin = len(_MARK) + _DIGEST_SIZE
    data = zlib.decompressobj().decompress(packed[begin:], _MOST_CONTENT)
    if blake2b(data, digest_size=_DIGEST_SIZE).digest() != packed[len(_MARK) : begin]:
        raise ValueError("damaged")
    head, _, rest = data.partition(b"\n")
    try:
        content = _Content.model_validate(parse_json(head))
    except ValidationError as error:
        raise ValueError("not as it was written") from error
    codes = np.frombuffer(rest, dtype="<i4").astype(np.int32)
    bad = tuple(BadRow(*entry) for entry in content.bad)
    is_right = (
        len(codes) == len(rows)
        and (not len(codes) or (codes.min() >= -1 and codes.max() < len(content.profiles)))
        and rows[codes < 0].tolist() == [row.row for row in bad]
    )
    if not is_right:
        raise ValueError("of other rows")
    try:
        profiles = [
            ImageProfile(**dict(p) | {"jpeg_tables": content.tables[at]})
            if (at := p.jpeg_tables) is not None
            else ImageProfile(**dict(p))
            for p in content.profiles
        ]
    except IndexError:
        raise ValueError("a table is missing") from None
    return Inspection(tuple(profiles), codes, bad, content.digest, content.bytes)


def _thin_out(folder: Path) -> None:
    """Remove what wasn't used for longest, until the rest is few and small enough."""
    with os.scandir(folder) as entries:
        found = [(entry.stat(), entry.path) for entry in entries if entry.is_file()]
    total = 0
    newest_first = sorted(found, key=lambda one: -one[0].st_mtime_ns)
    for number, (state, path) in enumerate(newest_first, start=1):
        total += state.st_size
        if number > MOST_FILES or total > MOST_BYTES:
            with contextlib.suppress(OSError):
                os.unlink(path)
