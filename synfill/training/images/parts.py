"""Which images a recipe means: the label tables of its train, synthetic, validation and test
parts. Reads labels only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from synfill.config.recipes.settings import DataSettings, SyntheticSettings, TestSettings
from synfill.data.labels import choose_label, choose_split, read_label_table
from synfill.data.longtail import keep_long_tail
from synfill.data.provenance import existing_provenance, read_synthetic
from synfill.data.source import Source, open_source
from synfill.errors import UsageError, suggest
from synfill.records import LabelTable
from synfill.training.images.matching import label_of, labelled
from synfill.wording import list_names

Role = Literal["train", "validation", "test"]


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


def open_parts(data: DataSettings, balanced: str | None) -> Parts:
    """Open the datasets and read their labels.

    Args:
        data: What the recipe says.
        balanced: The balanced dataset that was made from `data.synthetic.balance`; else None.

    Raises:
        UsageError: A dataset, a split, a column or images are missing, or don't fit together.
        RunError: A dataset can't be read.
    """
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
    return _Opener(data, source, whole, label, list(source.notes)).open(balanced)


@dataclass(frozen=True, eq=False)
class _Opener:
    """Finds the parts beside the training dataset's own labels.

    Attributes:
        data: What the recipe says.
        source: The training dataset.
        whole: The labels of its training split.
        label: Its class column.
        notes: What a user should know so far; more are added.
    """

    data: DataSettings
    source: Source
    whole: LabelTable
    label: str
    notes: list[str]

    def open(self, balanced: str | None) -> Parts:
        """All parts; see `open_parts`."""
        marks = synthetic_rows(self.source, self.whole.split)
        synthetic = self._find_synthetic(balanced, marks)
        real = self._cut(self.whole.take(np.flatnonzero(~marks)))
        if not len(real):
            raise UsageError(
                f"The split '{self.whole.split}' of {self.source.origin.location} has no real "
                "images with a label.",
                "Choose another split with data.split.",
            )
        test = self._find_test()
        validation, real = self._find_validation(real, test)
        train = Part(self.source, real, "train", False, "data.train")
        return Parts(train, synthetic, validation, test, tuple(dict.fromkeys(self.notes)))

    def _find_synthetic(self, balanced: str | None, marks: NDArray[np.bool_]) -> Part | None:
        """The synthetic training images: the dataset's own, or another's."""
        data, location = self.data, self.source.origin.location
        count = np.count_nonzero(marks)
        if not isinstance(data.synthetic, SyntheticSettings):
            if not count:
                return None
            if data.synthetic == "none":
                self.notes.append(
                    f"{count} synthetic images of {location} are left out (data.synthetic: none)."
                )
                return None
            table = self._labelled(self.whole.take(np.flatnonzero(marks)), "synthetic")
            return Part(self.source, table, "train", True, "data.train") if len(table) else None
        spec = balanced if balanced is not None else data.synthetic.source
        assert spec is not None  # one of the two is given, as the settings see to
        if count:
            raise UsageError(
                f"{location} has {count} synthetic images of its own, and data.synthetic names "
                "others.",
                "Set data.synthetic=auto to use its own, or choose the original dataset as "
                "data.train.",
            )
        with _keys_for_options("data.synthetic"):
            source = open_source(spec, config=data.synthetic.config, image=data.image)
            split = choose_split(source, data.synthetic.split)
        # Before its groups are looked for: a dataset that isn't balanced has none of these either.
        if existing_provenance(source.columns) is None:
            raise UsageError(
                f"{spec} doesn't say which of its images are synthetic: it has no columns "
                "synthetic, prompt, seed and generator.",
                "Give a dataset that `synfill balance` made as data.synthetic.",
            )
        with _keys_for_options("data.synthetic"):
            table = read_label_table(source, split, self._label_in(source), data.group)
        rows = np.flatnonzero(synthetic_rows(source, split))
        if not len(rows):
            raise UsageError(
                f"The split '{split}' of {spec} has no synthetic image.",
                "Give a dataset that `synfill balance` made, or set data.synthetic=none.",
            )
        table = self._labelled(table.take(rows), "synthetic")
        return Part(source, table, "train", True, "data.synthetic")

    def _label_in(self, source: Source) -> str:
        """The class column of another dataset: the same name, or the only one that can be it."""
        if any(column.name == self.label for column in source.columns):
            return self.label
        found = choose_label(source, None, self.data.group)
        if found is None:
            raise UsageError(f"The images of {source.origin.location} have no classes.")
        return found

    def _labelled(self, table: LabelTable, what: str) -> LabelTable:
        missing = label_of(table).missing
        if not missing:
            return table
        self.notes.append(f"{missing} {what} images have no label and are left out.")
        return labelled(table)

    def _cut(self, table: LabelTable) -> LabelTable:
        """The long tail of the real images, or all of them."""
        wanted = self.data.long_tail
        if wanted is None:
            return self._labelled(table, "training")
        kept, notes = keep_long_tail(table, wanted, self.data.seed)
        self.notes.extend(notes)
        before, after = (label_of(one).counts() for one in (table, kept))
        emptied = [
            f"{name} ({had})"
            for name, had, has in zip(label_of(table).names, before, after, strict=True)
            if had and not has
        ]
        if emptied:
            raise UsageError(
                f"data.long_tail ({wanted.imbalance_factor:g}) leaves no image of "
                f"{list_names(emptied)}.",
                "Set a smaller data.long_tail.imbalance_factor, or a larger "
                "data.long_tail.largest.",
            )
        return kept

    def _find_test(self) -> Part:
        settings, source, label, key = self.data.test, self.source, self.label, "data.test"
        wanted = settings if isinstance(settings, str) else settings.split
        if isinstance(settings, TestSettings):
            key = "data.test.split"
            with _keys_for_options("data.test"):
                source = open_source(
                    settings.source,
                    config=settings.config,
                    image=self.data.image,
                    folder=settings.folder_options,
                )
            label = self._label_in(source)
            if wanted is None and len(source.splits) == 1:
                wanted = source.splits[0]
        split = _existing_split(source, "test" if wanted is None else wanted, key)
        if split == self.whole.split and _is_same(source, self.source):
            raise UsageError(
                f"data.test and data.train are the same split '{split}' of "
                f"{self.source.origin.location}.",
                suggest(split, [s for s in source.splits if s != split], "other splits"),
            )
        return self._measured_part(source, split, label, "test", key)

    def _find_validation(self, real: LabelTable, test: Part) -> tuple[Part | None, LabelTable]:
        """The validation images, and the real training images that are left."""
        wanted = self.data.validation
        if wanted is None:
            return None, real
        if isinstance(wanted, float):
            held, kept = self._hold_out(real, wanted)
            if not len(held):
                raise UsageError(
                    f"data.validation={wanted:g} takes no image: no class has two.",
                    "Leave data.validation out, or name a split.",
                )
            return Part(self.source, held, "validation", False, "data.validation"), kept
        split = _existing_split(self.source, wanted, "data.validation")
        for taken in (Part(self.source, real, "train", False, "data.train"), test):
            if split == taken.table.split and _is_same(taken.source, self.source):
                raise UsageError(
                    f"data.validation and data.{taken.role} are the same split '{split}'.",
                    "Choose another, or give a share of the training images: data.validation=0.1.",
                )
        key = "data.validation"
        return self._measured_part(self.source, split, self.label, "validation", key), real

    def _measured_part(self, source: Source, split: str, label: str, role: Role, key: str) -> Part:
        """Images that a classifier is measured on: none of them may be synthetic."""
        made = np.count_nonzero(synthetic_rows(source, split))
        if made:
            raise UsageError(
                f"The {role} split '{split}' of {source.origin.location} has {made} synthetic "
                "images: what is measured on them says nothing about real ones.",
                f"Choose a split of real images with {key}.",
            )
        with _keys_for_options("data"):
            table = read_label_table(source, split, label, self.data.group)
        part = Part(source, self._labelled(table, role), role, False, key)
        if not len(part.table):
            raise UsageError(f"{part.describe()} has no images with a label.")
        return part

    def _hold_out(self, table: LabelTable, share: float) -> tuple[LabelTable, LabelTable]:
        """A random share of each class, at least one image and never all; and what is left."""
        label = label_of(table)
        # Another stream than the long tail's, which is drawn from the seed itself.
        generator = np.random.default_rng([self.data.seed, 1])
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
            self.notes.append(
                f"The only image of {list_names(single)} stays in train: the validation images "
                "have none of it."
            )
        return table.take(chosen), table.take(np.setdiff1d(np.arange(len(table)), chosen))


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
    provenance = existing_provenance(source.columns)
    if provenance is None:
        return np.zeros(source.count(split), dtype=bool)
    return read_synthetic(source, split, provenance)


def _is_same(one: Source, other: Source) -> bool:
    """Whether two sources are one dataset, perhaps by different names."""
    first, second = one.origin, other.origin
    if first.is_local and second.is_local:
        return os.path.realpath(os.path.expanduser(first.location)) == os.path.realpath(
            os.path.expanduser(second.location)
        )
    return (first.location, first.is_local) == (second.location, second.is_local)


def _existing_split(source: Source, split: str, key: str) -> str:
    if split in source.splits:
        return split
    other = " Or name another dataset with data.test.source=..." if key == "data.test" else ""
    raise UsageError(
        f"{source.origin.location} has no split '{split}', which {key} should be.",
        f"{suggest(split, source.splits, 'splits')} Choose one with {key}=....{other}",
    )
