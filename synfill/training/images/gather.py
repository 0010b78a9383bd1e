"""From what a recipe says of its data to images with their classes and cells, ready to train on.

The composer of the data path: it opens the datasets, matches their classes by name, and has all
images read once. What can be told from labels is told before any image is decoded.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synfill.config.training import DataSettings
from synfill.data.images import decode
from synfill.errors import RunError, UsageError
from synfill.records import Cell, Channels
from synfill.reporter import Reporter
from synfill.training.images.decoding import SMALL, Decoder, image_size, stored_side
from synfill.training.images.matching import Cells, find_cells, find_classes, match_classes
from synfill.training.images.parts import Part, Parts, Role, open_parts
from synfill.training.images.pixels import (
    DIGEST_BYTES,
    ImageSet,
    Reading,
    file_digest,
)
from synfill.training.images.read import Reader, Store, chunks_of, fits_in_memory

_USUAL_SIZE = 224
"""Side in pixels where the images' own isn't taken: what ImageNet's networks are made for."""
_SMALLEST_SIZE = 8
_LOOKED_AT = 1000
_MOST = 0.9
"""Of the first 1,000 images so many must have one size for it to be the network's."""
_NAMED = 10
_LEVEL = 1 / 255


@dataclass(frozen=True)
class Skipped:
    """An image that can't be used.

    Attributes:
        role: What it was for: train, validation or test.
        where: Where it is: its path below the dataset's folder, or file and row.
        reason: Why it can't be used.
    """

    role: Role
    where: str
    reason: str


@dataclass(frozen=True, eq=False)
class TrainingData:
    """All that a run trains and tests on.

    Attributes:
        classes: Names of the classes that occur in the training images, real or synthetic, in the
            training dataset's order.
        groups: The group columns; () for none.
        group_values: Of each group column the values that occur, as text.
        cells: Each class with each combination of group values that occurs anywhere; () without
            groups.
        train: The real images in their dataset's order, then the synthetic ones.
        validation: The images that choose a setting, if any.
        test: The images that the metrics are of; all real.
        image_size: Side in pixels of what the network sees; images are stored at
            `stored_side(image_size)`.
        mean: Of each channel (RGB) of the real training images, in 0..1.
        std: Likewise, at least one level of 255.
        digests: Of the images "real" and "synthetic" (the two kinds of training images), "test"
            and, where there are any, "validation": hexadecimal; changes if any image's bytes,
            class or cell does, or their order.
        skipped: Images that can't be used and were left out.
        notes: What a user should know: classes with few images, ...
    """

    classes: tuple[str, ...]
    groups: tuple[str, ...]
    group_values: tuple[tuple[str, ...], ...]
    cells: tuple[Cell, ...]
    train: ImageSet
    validation: ImageSet | None
    test: ImageSet
    image_size: int
    mean: Channels
    std: Channels
    digests: Mapping[str, str]
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...]

    @property
    def real_counts(self) -> NDArray[np.int64]:
        """Real training images of each class: int64, shape (classes,)."""
        real = self.train.labels[~self.train.synthetic]
        return np.bincount(real, minlength=len(self.classes)).astype(np.int64)

    @property
    def real_cell_counts(self) -> NDArray[np.int64]:
        """Real training images of each cell: int64, shape (cells,)."""
        real = self.train.cells[~self.train.synthetic & (self.train.cells >= 0)]
        return np.bincount(real, minlength=len(self.cells)).astype(np.int64)


@dataclass(frozen=True, eq=False)
class TrainLabels:
    """What is known of the training images before one of them is read.

    Attributes:
        classes: The class names.
        labels: int64, shape (images,): index of the class.
        cells: int64, shape (images,): index of the cell; -1 for none.
        synthetic: bool, shape (images,).
    """

    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    cells: NDArray[np.int64]
    synthetic: NDArray[np.bool_]


CheckLabels = Callable[[TrainLabels], None]


def gather(
    data: DataSettings,
    synthetic: str | None,
    device: str,
    reporter: Reporter,
    work: Path,
    check: CheckLabels = lambda labels: None,
) -> TrainingData:
    """Open the datasets, match their classes, and read all images once.

    Args:
        data: What the recipe says.
        synthetic: The balanced dataset that was made from `data.synthetic.balance`; else None.
        device: Where batches are wanted ("cpu", "cuda", "cuda:1", "mps").
        reporter: Told how far reading is, of images that can't be used, and of test images that
            are in train as well. The notes are not sent there.
        work: A folder for work in progress. Images that are streamed lie there until the run
            ends; a resumed run uses them again.
        check: Called with the labels before any image is read, to stop a run that can't be.

    Raises:
        UsageError: A dataset, a split, a column or images are missing, or don't fit together.
        RunError: Images can't be read, or the disk is full.
    """
    parts = open_parts(data, synthetic)
    classes = find_classes([part.table for part in parts.train])
    if len(classes) < 2:
        raise UsageError(
            f"The training images of {parts.real.source.origin.location} have only "
            f"{'the class ' + classes[0] if classes else 'no class'}: there is nothing to tell "
            "apart.",
            "Choose another class column with data.label.",
        )
    labels = [match_classes(part.table, classes, part.describe(), part.key) for part in parts.all]
    cells = find_cells(classes, [part.table for part in parts.all])
    train = [position for position, part in enumerate(parts.all) if part.role == "train"]
    check(
        TrainLabels(
            classes,
            np.concatenate([labels[position] for position in train]),
            np.concatenate([cells.codes(parts.all[p].table, labels[p]) for p in train]),
            np.repeat(
                [parts.all[position].is_synthetic for position in train],
                [len(parts.all[position].table) for position in train],
            ),
        )
    )
    size, size_notes = _choose_size(data, parts.real)
    count = sum(len(part.table) for part in parts.all)
    decoder = Decoder(stored_side(size), decode)
    reader = Reader(parts, decoder, count, reporter)
    in_memory = fits_in_memory(data, count, decoder.side)
    reading, store = (
        reader.into_memory(device) if in_memory else reader.into_file(work, data.workers, device)
    )
    skipped = _find_bad(parts, reading)
    _tell_bad(data, skipped, reporter)
    sets = _make_sets(parts, labels, cells, reading, store)
    _warn_of_leak(sets, reading, reporter)
    mean, std = _statistics(parts, reading, decoder.side)
    return TrainingData(
        classes=classes,
        groups=cells.groups,
        group_values=cells.values,
        cells=cells.cells,
        train=sets["train"].images,
        validation=sets["validation"].images if "validation" in sets else None,
        test=sets["test"].images,
        image_size=size,
        mean=mean,
        std=std,
        digests=_digests(classes, cells, sets, reading),
        skipped=skipped,
        notes=(*parts.notes, *size_notes),
    )


def _choose_size(data: DataSettings, real: Part) -> tuple[int, tuple[str, ...]]:
    """The side that the network sees, and a note where neither recipe nor images said it."""
    if data.image_size is not None:
        return data.image_size, ()
    sizes: Counter[tuple[int, int]] = Counter()
    for file in itertools.islice(itertools.chain.from_iterable(chunks_of([real])), _LOOKED_AT):
        # One that can't be decoded is found again, and told, when all are.
        with contextlib.suppress(ValueError):
            sizes[image_size(file or b"", decode)] += 1
    (usual, share), *others = sizes.most_common() or [((0, _USUAL_SIZE), 1)]
    shorter = usual[1]
    if share >= _MOST * sizes.total() and shorter <= SMALL:
        side = max(shorter, _SMALLEST_SIZE)
        if not others:
            return side, ()
        return side, (
            f"{sizes.total() - share} of the first {sizes.total()} images have another size than "
            f"the others: all are shown to the network at {side} x {side} pixels. Set "
            "data.image_size for another size.",
        )
    why = "differ in size" if others else "are large"
    return _USUAL_SIZE, (
        f"The images {why}: they are shown to the network at {_USUAL_SIZE} x {_USUAL_SIZE} "
        "pixels. Set data.image_size for another size.",
    )


def _find_bad(parts: Parts, reading: Reading) -> tuple[Skipped, ...]:
    firsts = parts.firsts
    found = []
    for ordinal in sorted(reading.bad):
        at = int(np.searchsorted(firsts, ordinal, side="right")) - 1
        part = parts.all[at]
        row = int(part.table.rows[ordinal - firsts[at]])
        where = part.source.describe_row(part.table.split, row)
        found.append(Skipped(part.role, where, reading.bad[ordinal]))
    return tuple(found)


def _tell_bad(data: DataSettings, bad: Sequence[Skipped], reporter: Reporter) -> None:
    """Warn of images that are left out, or raise an error that lists them."""
    if not bad:
        return
    listed = [f"  {one.where}: {one.reason}" for one in bad[:_NAMED]]
    more = [f"  and {len(bad) - _NAMED} more"] if len(bad) > _NAMED else []
    what = f"{len(bad)} image{'s' if len(bad) > 1 else ''} can't be used"
    lines = "\n".join([*listed, *more])
    if data.on_bad_image == "error":
        raise RunError(
            f"{what}:\n{lines}", "Correct or remove them, or set data.on_bad_image: skip."
        )
    reporter.warn(f"{what} and {'are' if len(bad) > 1 else 'is'} left out:\n{lines}")


@dataclass(frozen=True, eq=False)
class _Set:
    """A set of images, and where they stand among all that were read."""

    images: ImageSet
    ordinals: NDArray[np.int64]


def _make_sets(
    parts: Parts,
    labels: Sequence[NDArray[np.int64]],
    cells: Cells,
    reading: Reading,
    store: Store,
) -> dict[str, _Set]:
    """The sets "train", "test" and, if there is one, "validation", without bad images."""
    roles = np.repeat([part.role for part in parts.all], [len(p.table) for p in parts.all])
    synthetic = np.repeat(
        [part.is_synthetic for part in parts.all], [len(p.table) for p in parts.all]
    )
    rows = np.concatenate([part.table.rows for part in parts.all])
    codes = np.concatenate(labels)
    in_cell = np.concatenate(
        [cells.codes(part.table, own) for part, own in zip(parts.all, labels, strict=True)]
    )
    group_codes = np.concatenate([cells.group_codes(part.table) for part in parts.all])
    is_good = np.ones(len(codes), dtype=bool)
    is_good[list(reading.bad)] = False
    sets: dict[str, _Set] = {}
    for role in dict.fromkeys(part.role for part in parts.all):
        ordinals = np.flatnonzero((roles == role) & is_good)
        if not len(ordinals) or (role == "train" and synthetic[ordinals].all()):
            raise RunError(
                f"None of the {'real training' if role == 'train' else role} images can be used.",
                "Look at the files: are they images?",
            )
        sets[role] = _Set(
            ImageSet(
                store(ordinals),
                codes[ordinals],
                in_cell[ordinals],
                group_codes[ordinals],
                synthetic[ordinals],
                rows[ordinals],
            ),
            ordinals,
        )
    return sets


def _warn_of_leak(sets: dict[str, _Set], reading: Reading, reporter: Reporter) -> None:
    train, test = (
        [digest.tobytes() for digest in reading.digests[sets[role].ordinals]]
        for role in ("train", "test")
    )
    seen = set(train)
    leaked = sum(digest in seen for digest in test)
    if leaked:
        reporter.warn(
            f"{leaked} of {len(test)} test images are among the training images too, byte for "
            "byte: the test says more than it should."
        )


def _statistics(parts: Parts, reading: Reading, side: int) -> tuple[Channels, Channels]:
    """Mean and standard deviation of the real training images, of each channel."""
    real = len(parts.real.table)
    images = real - sum(ordinal < real for ordinal in reading.bad)
    mean, square = reading.sums / (images * side**2 * 255.0 ** np.array([[1], [2]]))
    # Images of one colour have no deviation to divide by.
    std = np.maximum(np.sqrt(np.maximum(square - mean**2, 0)), _LEVEL)
    (r, g, b), (dr, dg, db) = mean.tolist(), std.tolist()
    return (r, g, b), (dr, dg, db)


def _digests(
    classes: Sequence[str], cells: Cells, sets: dict[str, _Set], reading: Reading
) -> dict[str, str]:
    """See `TrainingData`. Classes and cells go in by name: how they are numbered depends on what
    else there is.
    """
    # The last entry stands for a missing cell, which indexes it as -1.
    named_classes, named_cells = (
        np.stack([file_digest(str(name).encode()) for name in [*names, ""]])
        for names in (classes, cells.cells)
    )
    found = {}
    for role, chosen in sets.items():
        images = chosen.images
        for kind, is_kind in (("real", ~images.synthetic), ("synthetic", images.synthetic)):
            whole = blake2b(digest_size=DIGEST_BYTES)
            whole.update(reading.digests[chosen.ordinals[is_kind]].tobytes())
            whole.update(named_classes[images.labels[is_kind]].tobytes())
            whole.update(named_cells[images.cells[is_kind]].tobytes())
            if role == "train":
                found[kind] = whole.hexdigest()
            elif kind == "real":
                found[role] = whole.hexdigest()
    return found
