"""The records that travel between the rooms. Frozen, without I/O; knows nothing of the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Value = str | int | bool
"""What a label or a group may be in a dataset."""

Channels = tuple[float, float, float]
"""A value of each channel of an image: red, green, blue."""

MISSING = -1
"""The code of an image whose label or group is missing (null or -1 in the source)."""


@dataclass(frozen=True, eq=False)
class Factor:
    """A categorical column: one code an image, and the value that each code stands for.

    Attributes:
        name: The column's name.
        values: The value of each code, in order (a ClassLabel's own order; otherwise sorted).
            A value may have no image at all (a ClassLabel names more classes than occur).
        codes: int32, shape (images,); MISSING where the image has no value.
    """

    name: str
    values: tuple[Value, ...]
    codes: NDArray[np.int32]

    @property
    def names(self) -> tuple[str, ...]:
        """The values as text, as they are shown and as a user writes them."""
        return tuple(str(value) for value in self.values)

    @property
    def missing(self) -> int:
        """How many images have no value."""
        return int(np.count_nonzero(self.codes == MISSING))

    def counts(self) -> NDArray[np.int64]:
        """Images a value: int64, shape (values,)."""
        present = self.codes[self.codes != MISSING]
        return np.bincount(present, minlength=len(self.values)).astype(np.int64)

    def take(self, positions: NDArray[np.int64]) -> Factor:
        """The same column for some of the images."""
        return Factor(self.name, self.values, self.codes[positions])


@dataclass(frozen=True, eq=False)
class LabelTable:
    """One row an image: which row of its split it is, its class, its groups. No image bytes.

    Attributes:
        split: The split's name.
        rows: int64, shape (images,): row numbers in the source's split, ascending.
        label: The class column; None where the images have no classes.
        groups: The group columns, in the order they were asked for.
    """

    split: str
    rows: NDArray[np.int64]
    label: Factor | None
    groups: tuple[Factor, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, positions: NDArray[np.int64]) -> LabelTable:
        """The table of some of the images; positions count in this table."""
        label = self.label.take(positions) if self.label is not None else None
        groups = tuple(group.take(positions) for group in self.groups)
        return LabelTable(self.split, self.rows[positions], label, groups)


Shape = Literal["exp", "step"]
"""Of a long tail, as in LDAM-DRW."""


@dataclass(frozen=True)
class FolderOptions:
    """What was said of how a source is to be read: options of the kinds of source that have them.

    Attributes:
        layout: What each level of folders names, e.g. "*/split/class"; see `config.layouts`.
        image_root: The folder that a table's file names start from.
        file_column: The column of a table that names the files.
    """

    layout: str | None = None
    image_root: str | None = None
    file_column: str | None = None


AS_FOUND = FolderOptions()
"""Nothing was said."""


@dataclass(frozen=True, order=True)
class Cell:
    """A class, or a class within one value of each group.

    Attributes:
        label: The class name.
        groups: (column, value as text) pairs; empty when only classes are balanced.
    """

    label: str
    groups: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return self.shown({}, {})

    def shown(
        self, class_words: Mapping[str, str], group_words: Mapping[str, Mapping[str, str]]
    ) -> str:
        """As tables show it: "landbird (0) / place=forest (1)", with the words for it.

        Args:
            class_words: Class name -> the words that stand for it, where there are such.
            group_words: Column -> value -> the words.
        """
        groups = [f"{c}={_with_words(v, group_words.get(c, {}))}" for c, v in self.groups]
        return " / ".join([_with_words(self.label, class_words), *groups])


def _with_words(name: str, words: Mapping[str, str]) -> str:
    shown = words.get(name) or name
    return name if shown == name else f"{shown} ({name})"


@dataclass(frozen=True)
class Request:
    """One image to make.

    Attributes:
        id: Its number in the plan, from 0.
        cell: What it is to show.
        prompt: The positive prompt.
        negative_prompt: The negative prompt; empty for none.
        seed: The seed of this attempt.
        source_row: The row of the real image that it starts from; None if it starts from none.
        attempt: 0 for the first try. The plan holds first tries.
    """

    id: int
    cell: Cell
    prompt: str
    negative_prompt: str
    seed: int
    source_row: int | None = None
    attempt: int = 0

    @property
    def first_seed(self) -> int:
        """The seed of its first attempt; attempt k has the k-th after it."""
        return self.seed - self.attempt

    def again(self, attempt: int) -> Request:
        """The same request, at another attempt."""
        return replace(self, seed=self.first_seed + attempt, attempt=attempt)


@dataclass(frozen=True, eq=False)
class Sample:
    """An image as a generator made it.

    Attributes:
        pixels: uint8, shape (height, width, 3), RGB.
        finite: False if any of its values was NaN or infinite before it was made uint8. (diffusers
            itself cuts infinite ones off before they come here.)
        flagged: Whether the pipeline's own safety checker flagged it (it is then black).
    """

    pixels: NDArray[np.uint8]
    finite: bool
    flagged: bool


@dataclass(frozen=True)
class Verdict:
    """What was decided about one image that was made.

    Attributes:
        request: The request's id.
        attempt: 0 for the first try.
        seed: The seed that made this image.
        accepted: Whether it goes into the dataset.
        reason: Why it was rejected, one word or a few; empty if accepted.
        scores: The figures that the checks computed, by name.
    """

    request: int
    attempt: int
    seed: int
    accepted: bool
    reason: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ImageProfile:
    """How an image file is made, as far as a classifier could learn it.

    Attributes:
        format: Pillow's name of the file format ("JPEG", "PNG", ...).
        mode: Pillow's mode ("RGB", "L", "P", "I;16", ...).
        size: (width, height) in pixels, after the EXIF orientation was applied.
        jpeg_tables: JPEG's quantization tables (64 entries each), which are its quality.
        subsampling: JPEG's chroma subsampling as Pillow numbers it (0, 1, 2; -1 unknown).
        lossless: Whether a WebP is lossless.
        progressive: Whether a JPEG is progressive.
    """

    format: str
    mode: str
    size: tuple[int, int]
    jpeg_tables: tuple[tuple[int, ...], ...] | None = None
    subsampling: int = -1
    lossless: bool = False
    progressive: bool = False


@dataclass(frozen=True)
class ModelInfo:
    """Which generator made the images, as the card and run.json name it.

    Attributes:
        id: Hub id, or the name of a local folder.
        revision: The commit that was read; for a local folder a fingerprint of its files.
        pipeline: The diffusers pipeline class.
        licence: The licence's identifier, or "" where it isn't known.
        is_local: Whether it was read from a local folder.
    """

    id: str
    revision: str
    pipeline: str
    licence: str = ""
    is_local: bool = False


JsonObject = dict[str, Any]
"""What json.load gives for an object."""
