"""Which images a recipe means: the label tables of its train, synthetic, validation and test
parts. Reads labels only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from synfill.config.training import DataSettings, SyntheticSettings, TestSettings
from synfill.data.labels import choose_label, choose_split, read_label_table
from synfill.data.longtail import keep_long_tail
from synfill.data.provenance import find_provenance
from synfill.data.source import Source, open_source
from synfill.errors import UsageError, suggest
from synfill.records import LabelTable
from synfill.training.images.matching import label_of, labelled

Role = Literal["train", "validation", "test"]

_NAMED = 5


@dataclass(frozen=True, eq=False)
class Part:
    """Images of one split of one dataset.

    Attributes:
        source: The dataset.
        table: Their labels; all have one.
        role: What they are for.
        is_synthetic: Whether they are synthetic.
        key: Where the recipe says which they are ("data.test").
    """

    source: Source
    table: LabelTable
    role: Role
    is_synthetic: bool
    key: str

    def describe(self) -> str:
        """What they are, to begin a message with."""
        return f"The split '{self.table.split}' of {self.source.origin.location} ({self.key})"


@dataclass(frozen=True, eq=False)
class Parts:
    """All images that a recipe means.

    Attributes:
        real: The real training images.
        synthetic: The synthetic ones, if any.
        validation: The validation images, if any.
        test: The test images.
        notes: What a user should know of how they were chosen.
    """

    real: Part
    synthetic: Part | None
    validation: Part | None
    test: Part
    notes: tuple[str, ...]

    @property
    def all(self) -> tuple[Part, ...]:
        """Those that there are, in the order in which they are read: real first, test last."""
        every = (self.real, self.synthetic, self.validation, self.test)
        return tuple(part for part in every if part is not None)

    @property
    def train(self) -> tuple[Part, ...]:
        """The real and the synthetic training images."""
        return tuple(part for part in self.all if part.role == "train")


def open_parts(data: DataSettings, synthetic: str | None) -> Parts:
    """Open the datasets and read their labels.

    Args:
        data: What the recipe says.
        synthetic: The balanced dataset that was made from `data.synthetic.balance`; else None.

    Raises:
        UsageError: A dataset, a split, a column or images are missing, or don't fit together.
        RunError: A dataset can't be read.
    """
    notes: list[str] = []
    with _keys_for_options("data"):
        source = open_source(
            data.train, config=data.config, image=data.image, folder=data.folder_options
        )
        split = choose_split(source, data.split)
        label = choose_label(source, data.label, data.group)
        if label is None:
            raise UsageError(
                f"The images of {source.origin.location} have no classes"
                + (f", apart from the groups ({', '.join(data.group)})." if data.group else "."),
                "Put them in one folder a class, put a table of their files and labels "
                "(labels.csv) beside them, or name the class column with data.label (and not in "
                "data.group).",
            )
        whole = read_label_table(source, split, label, data.group)
    notes.extend(source.notes)
    marks = synthetic_rows(source, split)
    made = _find_synthetic(data, synthetic, source, whole, marks, label, notes)
    real = _cut(data, whole.take(np.flatnonzero(~marks)), notes)
    if not len(real):
        raise UsageError(
            f"The split '{split}' of {source.origin.location} has no real images with a label.",
            "Choose another split with data.split.",
        )
    test = _find_test(data, source, split, label, notes)
    validation, real = _find_validation(data, source, real, test, label, notes)
    train = Part(source, real, "train", False, "data.train")
    return Parts(train, made, validation, test, tuple(dict.fromkeys(notes)))


@contextmanager
def _keys_for_options(section: str) -> Iterator[None]:
    """Says a recipe's keys where an error names the options of the command line."""
    try:
        yield
    except UsageError as error:
        raise UsageError(_named(error.message, section), _named(error.hint, section)) from error


def _named(text: str, section: str) -> str:
    def key(match: re.Match[str]) -> str:
        name = match["name"].replace("-", "_")
        where = "data" if name in ("image", "label") else section
        return f"e.g. {where}.{name}=" if match["example"] else f"{where}.{name}"

    names = "split|config|image-root|image|label|layout|file-column"
    return re.sub(rf"(?P<example>e\.g\. )?--(?P<name>{names})(?(1) |\b)", key, text)


def synthetic_rows(source: Source, split: str) -> NDArray[np.bool_]:
    """Which rows the dataset itself marks as synthetic; bool, shape (rows,)."""
    if not _has_marks(source):
        return np.zeros(source.count(split), dtype=bool)
    provenance = find_provenance(source.columns, rename=False)
    marks = source.read_column(split, provenance.name("synthetic"))
    return np.array([bool(mark) for mark in marks.to_pylist()], dtype=bool)


def _has_marks(source: Source) -> bool:
    try:
        return find_provenance(source.columns, rename=False).existing
    except UsageError:
        return False  # columns that have such names and are something else


def _find_synthetic(
    data: DataSettings,
    balanced: str | None,
    train: Source,
    whole: LabelTable,
    marks: NDArray[np.bool_],
    label: str,
    notes: list[str],
) -> Part | None:
    """The synthetic training images."""
    if not isinstance(data.synthetic, SyntheticSettings):
        if not marks.any():
            return None
        if data.synthetic == "none":
            notes.append(
                f"{np.count_nonzero(marks)} synthetic images of {train.origin.location} are left "
                "out (data.synthetic: none)."
            )
            return None
        table = _with_label(whole.take(np.flatnonzero(marks)), "synthetic", notes)
        return Part(train, table, "train", True, "data.train") if len(table) else None
    spec = balanced if balanced is not None else data.synthetic.source
    assert spec is not None  # one of the two is given, as settings.py sees to
    if marks.any():
        raise UsageError(
            f"{train.origin.location} has {np.count_nonzero(marks)} synthetic images of its own, "
            "and data.synthetic names others.",
            "Set data.synthetic=auto to use its own, or choose the original dataset as data.train.",
        )
    with _keys_for_options("data.synthetic"):
        source = open_source(spec, config=data.synthetic.config, image=data.image)
        split = choose_split(source, data.synthetic.split)
    # Before its groups are looked for: a dataset that isn't balanced has none of these either.
    if not _has_marks(source):
        raise UsageError(
            f"{spec} doesn't say which of its images are synthetic: it has no columns synthetic, "
            "prompt, seed and generator.",
            "Give a dataset that `synfill balance` made as data.synthetic.",
        )
    with _keys_for_options("data.synthetic"):
        table = read_label_table(source, split, _label_in(source, label, data.group), data.group)
    rows = np.flatnonzero(synthetic_rows(source, split))
    if not len(rows):
        raise UsageError(
            f"The split '{split}' of {spec} has no synthetic image.",
            "Give a dataset that `synfill balance` made, or set data.synthetic=none.",
        )
    table = _with_label(table.take(rows), "synthetic", notes)
    return Part(source, table, "train", True, "data.synthetic")


def _label_in(source: Source, name: str, groups: Sequence[str]) -> str:
    """The class column of another dataset: of the same name, or the only one that can be it."""
    if any(column.name == name for column in source.columns):
        return name
    found = choose_label(source, None, groups)
    if found is None:
        raise UsageError(f"The images of {source.origin.location} have no classes.")
    return found


def _with_label(table: LabelTable, what: str, notes: list[str]) -> LabelTable:
    missing = label_of(table).missing
    if not missing:
        return table
    notes.append(f"{missing} {what} images have no label and are left out.")
    return labelled(table)


def _cut(data: DataSettings, table: LabelTable, notes: list[str]) -> LabelTable:
    """The long tail of the real images, or all of them."""
    if data.long_tail is None:
        return _with_label(table, "training", notes)
    wanted = data.long_tail
    found = keep_long_tail(table, wanted.imbalance_factor, wanted.type, wanted.largest, data.seed)
    notes.extend(found.notes)
    before, after = (label_of(one).counts() for one in (table, found.table))
    emptied = [
        f"{name} ({had})"
        for name, had, has in zip(label_of(table).names, before, after, strict=True)
        if had and not has
    ]
    if emptied:
        more = f" and {len(emptied) - _NAMED} more" if len(emptied) > _NAMED else ""
        raise UsageError(
            f"data.long_tail ({wanted.imbalance_factor:g}) leaves no image of "
            f"{', '.join(emptied[:_NAMED])}{more}.",
            "Set a smaller data.long_tail.imbalance_factor, or a larger data.long_tail.largest.",
        )
    return found.table


def _find_test(
    data: DataSettings, train: Source, train_split: str, label: str, notes: list[str]
) -> Part:
    if isinstance(data.test, TestSettings):
        key = "data.test.split"
        with _keys_for_options("data.test"):
            source = open_source(
                data.test.source,
                config=data.test.config,
                image=data.image,
                folder=data.test.folder_options,
            )
        wanted = data.test.split
        if wanted is None:
            wanted = source.splits[0] if len(source.splits) == 1 else "test"
        label = _label_in(source, label, data.group)
    else:
        key, source, wanted = "data.test", train, data.test
    split = _existing_split(source, wanted, key)
    if split == train_split and _is_same(source, train):
        raise UsageError(
            f"data.test and data.train are the same split '{split}' of {train.origin.location}.",
            suggest(split, [s for s in source.splits if s != split], "other splits"),
        )
    return _real_part(data, source, split, label, "test", key, notes)


def _is_same(one: Source, other: Source) -> bool:
    """Whether two sources are one dataset, perhaps by different names."""
    first, second = one.origin, other.origin
    if first.is_local and second.is_local:
        return os.path.realpath(os.path.expanduser(first.location)) == os.path.realpath(
            os.path.expanduser(second.location)
        )
    return (first.location, first.is_local) == (second.location, second.is_local)


def _find_validation(
    data: DataSettings,
    train: Source,
    real: LabelTable,
    test: Part,
    label: str,
    notes: list[str],
) -> tuple[Part | None, LabelTable]:
    """The validation images, and the real training images that are left."""
    if data.validation is None:
        return None, real
    if isinstance(data.validation, float):
        held, kept = _hold_out(real, data.validation, data.seed, notes)
        if not len(held):
            raise UsageError(
                f"data.validation={data.validation:g} takes no image: no class has two.",
                "Leave data.validation out, or name a split.",
            )
        return Part(train, held, "validation", False, "data.validation"), kept
    split = _existing_split(train, data.validation, "data.validation")
    for taken, table in (("data.train", real), ("data.test", test.table)):
        if split == table.split and (taken == "data.train" or _is_same(test.source, train)):
            raise UsageError(
                f"data.validation and {taken} are the same split '{split}'.",
                "Choose another, or give a share of the training images: data.validation=0.1.",
            )
    part = _real_part(data, train, split, label, "validation", "data.validation", notes)
    return part, real


def _existing_split(source: Source, split: str, key: str) -> str:
    if split in source.splits:
        return split
    other = " Or name another dataset with data.test.source=..." if key == "data.test" else ""
    raise UsageError(
        f"{source.origin.location} has no split '{split}', which {key} should be.",
        f"{suggest(split, source.splits, 'splits')} Choose one with {key}=....{other}",
    )


def _real_part(
    data: DataSettings,
    source: Source,
    split: str,
    label: str,
    role: Role,
    key: str,
    notes: list[str],
) -> Part:
    """Images that a classifier is measured on: none of them may be synthetic."""
    made = int(np.count_nonzero(synthetic_rows(source, split)))
    if made:
        raise UsageError(
            f"The {role} split '{split}' of {source.origin.location} has {made} synthetic images: "
            "what is measured on them says nothing about real ones.",
            f"Choose a split of real images with {key}.",
        )
    with _keys_for_options("data"):
        table = read_label_table(source, split, label, data.group)
    part = Part(source, _with_label(table, role, notes), role, False, key)
    if not len(part.table):
        raise UsageError(f"{part.describe()} has no images with a label.")
    return part


def _hold_out(
    table: LabelTable, share: float, seed: int, notes: list[str]
) -> tuple[LabelTable, LabelTable]:
    """A random share of each class, at least one image and never all; and what is left."""
    label = label_of(table)
    # Another stream than the long tail's, which is drawn from the seed itself.
    generator = np.random.default_rng([seed, 1])
    counts = label.counts()
    by_class = np.split(np.argsort(label.codes, kind="stable"), np.cumsum(counts)[:-1])
    held = [
        generator.permutation(of_class)[
            : min(max(1, round(share * len(of_class))), len(of_class) - 1)
        ]
        for of_class in by_class
        if len(of_class) > 1
    ]
    chosen = np.sort(np.concatenate([*held, np.empty(0, dtype=np.int64)])).astype(np.int64)
    single = [name for name, count in zip(label.names, counts, strict=True) if count == 1]
    if single:
        more = f" and {len(single) - _NAMED} more" if len(single) > _NAMED else ""
        notes.append(
            f"The only image of {', '.join(single[:_NAMED])}{more} stays in train: the validation "
            "images have none of it."
        )
    return table.take(chosen), table.take(np.setdiff1d(np.arange(len(table)), chosen))
