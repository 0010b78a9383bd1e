"""A trained classifier on a whole dataset: what it says of each image, and how often it is right.

Images are read and classified as they come, a few batches at a time, so that a dataset of any size
will do. Classes are matched by name; images of classes that the classifier doesn't know, or without
a label, are classified and not counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from synfill.classifier.predict import Classifier
from synfill.data.labels import choose_label, choose_split, read_label_table
from synfill.data.source import Column, Source, image_column, open_source
from synfill.data.sources.imagefolder.source import ImageFolderSource
from synfill.data.tree import IMAGE_EXTENSIONS
from synfill.errors import SynfillError
from synfill.records import MISSING, JsonObject
from synfill.training.images.matching import label_of
from synfill.training.images.parts import synthetic_rows

KINDS = ("real", "synthetic")


@dataclass(frozen=True)
class Scored:
    """What a classifier says of one image of a dataset.

    Attributes:
        where: Which image: a path below the dataset's folder, or file and row.
        probabilities: float32, shape (classes,); or why the image can't be used.
        label: The name of its true class; "" where it isn't known.
        synthetic: Whether the dataset marks it as synthetic.
    """

    where: str
    probabilities: NDArray[np.float32] | str
    label: str
    synthetic: bool


@dataclass
class Score:
    """How often a classifier is right on a dataset.

    Attributes:
        source: The dataset, as the user named it.
        split: Its split.
        classes: The classifier's classes.
        confusion: int64, shape (2, classes, classes): of the real and of the synthetic images
            those of a true class (row) that were taken for a class (column).
        images: Images that were classified.
        bad: Images that can't be used.
        unlabelled: Images that have no label.
        unknown: Images of classes that the classifier doesn't know, by the class's name.
    """

    source: str
    split: str
    classes: tuple[str, ...]
    confusion: NDArray[np.int64]
    images: int = 0
    bad: int = 0
    unlabelled: int = 0
    unknown: Counter[str] = field(default_factory=Counter)

    def accuracy(self, kind: str | None = None, position: int | None = None) -> float | None:
        """The share that is classified rightly; None where there are no such images.

        Args:
            kind: "real" or "synthetic"; None for both.
            position: Of which class; None for all.
        """
        confusion = self._of(kind)
        rows = slice(None) if position is None else slice(position, position + 1)
        count = int(confusion[rows].sum())
        return int(confusion.diagonal()[rows].sum()) / count if count else None

    def counted(self, kind: str | None = None, position: int | None = None) -> int:
        """The images that `accuracy` is of."""
        confusion = self._of(kind)
        return int(confusion.sum() if position is None else confusion[position].sum())

    def balanced_accuracy(self, kind: str | None = None) -> float | None:
        """The mean of the classes' accuracies, over those with images."""
        found = [self.accuracy(kind, at) for at in range(len(self.classes))]
        known = [one for one in found if one is not None]
        return sum(known) / len(known) if known else None

    def to_json(self) -> JsonObject:
        """All of it; docs/predict.md says what the keys mean."""
        kinds = (None, *KINDS)
        return {
            "source": self.source,
            "split": self.split,
            "images": self.images,
            "bad": self.bad,
            "unlabelled": self.unlabelled,
            "unknown_classes": dict(self.unknown),
            "counted": {kind or "all": self.counted(kind) for kind in kinds},
            "accuracy": {kind or "all": self.accuracy(kind) for kind in kinds},
            "balanced_accuracy": {kind or "all": self.balanced_accuracy(kind) for kind in kinds},
            "per_class": [
                {
                    "class": name,
                    "images": {kind or "all": self.counted(kind, at) for kind in kinds},
                    "accuracy": {kind or "all": self.accuracy(kind, at) for kind in kinds},
                }
                for at, name in enumerate(self.classes)
            ],
        }

    def _of(self, kind: str | None) -> NDArray[np.int64]:
        if kind is None:
            both: NDArray[np.int64] = self.confusion.sum(axis=0)
            return both
        one: NDArray[np.int64] = self.confusion[KINDS.index(kind)]
        return one


def open_dataset(
    spec: str, classes: Sequence[str], config: str | None, image: str | None
) -> Source | None:
    """The dataset that a user means, if it is one.

    A folder of image files is one where its folders are called like classes of the classifier.

    Args:
        spec: What the user gave.
        classes: The classifier's classes.
        config: The dataset's configuration, where it has several.
        image: Its image column, where it has several.

    Returns:
        None where it is an image file, a folder of image files, or isn't there at all.

    Raises:
        UsageError, RunError: It is a dataset, and can't be opened.
    """
    path = Path(spec).expanduser()
    is_image = path.suffix.lower().removeprefix(".") in IMAGE_EXTENSIONS
    if is_image and not path.is_dir():
        return None
    if path.is_file() and path.suffix.lower() not in (".parquet", ".csv", ".tsv", ".jsonl"):
        return None
    if not path.exists() and (path.is_absolute() or spec.startswith((".", "~"))):
        return None
    try:
        source = open_source(spec, config=config, image=image)
    except SynfillError:
        # As a folder of images it may do, or is told what it lacks for that.
        if path.is_dir() and (_holds_images(path) or not any(path.iterdir())):
            return None
        raise
    if isinstance(source, ImageFolderSource) and not _named_like(source, classes):
        return None
    return source


def _holds_images(folder: Path) -> bool:
    return any(
        found.suffix.lower().removeprefix(".") in IMAGE_EXTENSIONS for found in folder.iterdir()
    )


def _named_like(source: Source, classes: Sequence[str]) -> list[str]:
    """The class columns of which a value is one of the classifier's classes."""
    return [column.name for column in source.columns if _names_in(source, column) & {*classes}]


def _names_in(source: Source, column: Column) -> set[str]:
    # A table of labels beside images is in memory; other texts (captions) may be gigabytes.
    if column.kind == "string" and isinstance(source, ImageFolderSource):
        parts = (source.read_column(split, column.name) for split in source.splits)
        return {str(value) for part in parts for value in part.unique().to_pylist()}
    return {*column.class_names}


class Scoring:
    """A dataset that a classifier is tried on.

    Args:
        source: The dataset.
        classifier: The classifier.
        split: Which split; None for test, else train, else the only one.
        label: The class column; None for the one whose values are the classifier's classes, or the
            only one that can be it.

    Raises:
        UsageError: There is no such split or column, or it isn't clear which is meant.
        RunError: The dataset can't be read.
    """

    def __init__(
        self, source: Source, classifier: Classifier, split: str | None, label: str | None
    ) -> None:
        self._source, self._classifier = source, classifier
        if split is None and "test" in source.splits:
            split = "test"
        self.split = choose_split(source, split)
        classes = classifier.classes
        if label is None:
            named = _named_like(source, classes)
            label = named[0] if len(named) == 1 else choose_label(source, None)
        self.label = label
        self.count = source.count(self.split)
        self._synthetic = synthetic_rows(source, self.split)
        self._names: tuple[str, ...] = ()
        self._codes = np.full(self.count, MISSING, dtype=np.int64)
        if label is not None:
            factor = label_of(read_label_table(source, self.split, label))
            self._names, self._codes = factor.names, factor.codes.astype(np.int64)
        self._position = {name: at for at, name in enumerate(classes)}
        shape = (len(KINDS), len(classes), len(classes))
        self.score = Score(
            source.origin.location, self.split, classes, np.zeros(shape, dtype=np.int64)
        )

    def classify(self, batch_size: int) -> Iterator[Scored]:
        """Classify all images, in the dataset's order; `score` is complete at the end.

        Raises:
            RunError: The dataset can't be read.
        """
        images = self._images(batch_size)
        for row, found in enumerate(self._classifier.predict_each(images, batch_size)):
            code = int(self._codes[row])
            name = self._names[code] if code != MISSING else ""
            is_synthetic = bool(self._synthetic[row])
            self._count(found, name, is_synthetic)
            where = self._source.describe_row(self.split, row)
            yield Scored(where, found, name, is_synthetic)

    def _count(self, found: NDArray[np.float32] | str, name: str, is_synthetic: bool) -> None:
        score = self.score
        if isinstance(found, str):
            score.bad += 1
            return
        score.images += 1
        if not name:
            score.unlabelled += 1
        elif name not in self._position:
            score.unknown[name] += 1
        else:
            score.confusion[int(is_synthetic), self._position[name], int(found.argmax())] += 1

    def _images(self, batch_size: int) -> Iterator[bytes]:
        column = image_column(self._source.columns).name
        for _, batch in self._source.iter_rows(self.split, None, batch_size):
            # One that can't be read is no image either.
            yield from (data or b"" for data in pc.struct_field(batch.column(column), "bytes")
                        .to_pylist())  # fmt: skip
