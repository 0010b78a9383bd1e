"""The images of a folder as a source."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from synfill.data.listed import Listed, ListedSource
from synfill.data.rows import read_file
from synfill.data.source import Column, Origin
from synfill.data.stamp import look_at


class ImageFolderSource(ListedSource):
    """A folder of image files (see `synfill.data.source.Source`)."""

    def __init__(
        self,
        origin: Origin,
        root: Path,
        held: Mapping[str, Listed],
        columns: tuple[Column, ...],
        notes: tuple[str, ...],
    ) -> None:
        super().__init__(origin, held, columns, notes)
        self._root = root

    def read_image(self, split: str, row: int) -> bytes | None:
        """The bytes of a file; None where they can't be read."""
        return read_file(self._root / self._held[split].paths[row])

    def image_bytes(self, split: str) -> int:
        """Bytes of a split's files."""
        return look_at(self._root, self._held[split].paths).bytes

    def stamp(self) -> str | None:
        """Of the images' files; None if one was changed just now."""
        paths = (path for held in self._held.values() for path in held.paths)
        return look_at(self._root, paths).stamp
