"""Every image of a run read once: images with their classes and cells, ready to train on."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from synfill.config.recipes.settings import DataSettings
from synfill.data.images import decode
from synfill.errors import RunError
from synfill.records import Cell, Channels
from synfill.reporter import Reporter
from synfill.training.images.decoding import SMALL, Decoder, image_size, stored_side
from synfill.training.images.labels import LabelledParts
from synfill.training.images.parts import Part, Role
from synfill.training.images.pixels import DIGEST_BYTES, ImageSet, Reading, file_digest
from synfill.training.images.read import chunks_of, read_all

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
    def measured(self) -> dict[str, ImageSet]:
        """The images that a classifier is measured on, by what they are for."""
        return {"test": self.test, **({"validation": self.validation} if self.validation else {})}


def read_training_data(
    data: DataSettings, found: LabelledParts, device: str, reporter: Reporter, work: Path
) -> TrainingData:
    """Read all images once.

    Args:
        data: What the recipe says.
        found: Which images there are, and their labels.
        device: Where batches are wanted ("cpu", "cuda", "cuda:1", "mps").
        reporter: Where progress goes, and warnings: of images that can't be used, and of test
            images that are in train as well. The notes are not sent there.
        work: A folder for work in progress. Images that are streamed lie there until the run
            ends; a resumed run uses them again.

    Raises:
        UsageError: Images are to be held in memory and don't fit.
        RunError: Images can't be read, or the disk is full.
    """
    parts = found.parts
    size, size_notes = _choose_size(data, parts.real)
    decoder = Decoder(stored_side(size), decode)
    reading, store = read_all(data, parts, decoder, device, work, reporter)
    skipped = _find_skipped(found, reading)
    _report_skipped(data, skipped, reporter)
    positions = _usable_positions(found, reading)
    sets = {
        role: ImageSet(**vars(found.labels.take(chosen)), pixels=store(chosen))
        for role, chosen in positions.items()
    }
    digests = {role: reading.digests[chosen] for role, chosen in positions.items()}
    _warn_of_leak(digests, reporter)
    mean, std = _statistics(len(parts.real.table), reading, decoder.side)
    return TrainingData(
        classes=found.classes,
        groups=found.cells.groups,
        group_values=found.cells.values,
        cells=found.cells.cells,
        train=sets["train"],
        validation=sets.get("validation"),
        test=sets["test"],
        image_size=size,
        mean=mean,
        std=std,
        digests=_digests(found, sets, digests),
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


def _find_skipped(found: LabelledParts, reading: Reading) -> tuple[Skipped, ...]:
    skipped = []
    for position in sorted(reading.bad):
        part = found.part_of(position)
        where = part.source.describe_row(part.table.split, int(found.labels.rows[position]))
        skipped.append(Skipped(part.role, where, reading.bad[position]))
    return tuple(skipped)


def _report_skipped(data: DataSettings, skipped: Sequence[Skipped], reporter: Reporter) -> None:
    """Warn of images that are left out, or raise an error that lists them."""
    if not skipped:
        return
    listed = [f"  {one.where}: {one.reason}" for one in skipped[:_NAMED]]
    more = [f"  and {len(skipped) - _NAMED} more"] if len(skipped) > _NAMED else []
    what = f"{len(skipped)} image{'s' if len(skipped) > 1 else ''} can't be used"
    lines = "\n".join([*listed, *more])
    if data.on_bad_image == "error":
        raise RunError(
            f"{what}:\n{lines}", "Correct or remove them, or set data.on_bad_image: skip."
        )
    reporter.warn(f"{what} and {'are' if len(skipped) > 1 else 'is'} left out:\n{lines}")


def _usable_positions(found: LabelledParts, reading: Reading) -> dict[Role, NDArray[np.int64]]:
    """For each role the positions of its images that can be used, among all that were read."""
    is_good = np.ones(len(found.labels), dtype=bool)
    is_good[list(reading.bad)] = False
    positions: dict[Role, NDArray[np.int64]] = {}
    for role in dict.fromkeys(part.role for part in found.parts.all):
        chosen = np.flatnonzero((found.roles == role) & is_good)
        if not len(chosen) or (role == "train" and found.labels.synthetic[chosen].all()):
            raise RunError(
                f"None of the {'real training' if role == 'train' else role} images can be used.",
                "Look at the files: are they images?",
            )
        positions[role] = chosen
    return positions


def _warn_of_leak(digests: Mapping[Role, NDArray[np.uint8]], reporter: Reporter) -> None:
    seen = {digest.tobytes() for digest in digests["train"]}
    leaked = sum(digest.tobytes() in seen for digest in digests["test"])
    if leaked:
        reporter.warn(
            f"{leaked} of {len(digests['test'])} test images are among the training images too, "
            "byte for byte: the test says more than it should."
        )


def _statistics(real: int, reading: Reading, side: int) -> tuple[Channels, Channels]:
    """Mean and standard deviation of each channel of the real training images, the first ones."""
    images = real - sum(position < real for position in reading.bad)
    mean, square = reading.sums / (images * side**2 * 255.0 ** np.array([[1], [2]]))
    # Images of one colour have no deviation to divide by.
    std = np.maximum(np.sqrt(np.maximum(square - mean**2, 0)), _LEVEL)
    (r, g, b), (dr, dg, db) = mean.tolist(), std.tolist()
    return (r, g, b), (dr, dg, db)


def _digests(
    found: LabelledParts,
    sets: Mapping[Role, ImageSet],
    of_files: Mapping[Role, NDArray[np.uint8]],
) -> dict[str, str]:
    """See `TrainingData`. Classes and cells go in by name: how they are numbered depends on what
    else there is.
    """
    # The last entry stands for a missing cell, which indexes it as -1.
    named_classes, named_cells = (
        np.stack([file_digest(str(name).encode()) for name in [*names, ""]])
        for names in (found.classes, found.cells.cells)
    )

    def digest(role: Role, chosen: NDArray[np.bool_]) -> str:
        whole = blake2b(digest_size=DIGEST_BYTES)
        whole.update(of_files[role][chosen].tobytes())
        whole.update(named_classes[sets[role].labels[chosen]].tobytes())
        whole.update(named_cells[sets[role].cells[chosen]].tobytes())
        return whole.hexdigest()

    synthetic = sets["train"].synthetic
    digests = {"real": digest("train", ~synthetic), "synthetic": digest("train", synthetic)}
    measured = [role for role in sets if role != "train"]
    return digests | {role: digest(role, ~sets[role].synthetic) for role in measured}
