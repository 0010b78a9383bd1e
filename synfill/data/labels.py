"""Which column is the class, and the label table: one row an image, without its bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from synfill.data.arrow import to_numpy
from synfill.data.provenance import PREFIX, PROVENANCE
from synfill.data.source import Column, Source
from synfill.errors import RunError, UsageError, suggest
from synfill.names import check_classes, natural_key
from synfill.records import MISSING, Factor, LabelTable, Value

CONVENTIONAL_LABELS = frozenset(
    {"label", "labels", "class", "class_name", "category", "target", "y"}
)
"""Names under which datasets keep the class of an image."""

_KINDS = ("class", "int", "string", "bool")
# Floating-point columns of whole numbers are of the kind "other".
_NUMBERS = ("int", "other")
# fmt: off
_NO_LABELS = frozenset({
    "id", "idx", "index", "key", "uid", "uuid", "hash", "md5", "sha1", "sha256", "phash", "file",
    "file_name", "filename", "name", "path", "image_path", "img_path", "filepath", "url", "link",
    "source", "split", "width", "height", "size", "caption", "captions", "text", "description",
    "title", "alt", "license", "licence", "author", "date", "time", "timestamp", "created_at",
    "__key__", "__url__",
    *PROVENANCE, *(f"{PREFIX}{name}" for name in PROVENANCE),
})
# fmt: on
_NO_LABEL_ENDINGS = ("_id", "_idx", "_index", "_path", "_file", "_filename", "_url", "_hash")


def choose_split(source: Source, split: str | None) -> str:
    """The split to read: the one asked for, else train, else the only one.

    Raises:
        UsageError: There is no such split, or several and none of them is train.
    """
    if split is not None:
        if split not in source.splits:
            raise UsageError(
                f"{source.origin.location} has no split '{split}'.",
                suggest(split, source.splits, "splits"),
            )
        return split
    if "train" in source.splits:
        return "train"
    if len(source.splits) == 1:
        return source.splits[0]
    raise UsageError(
        f"{source.origin.location} has no split 'train', but several others: "
        f"{', '.join(source.splits)}.",
        f"Choose one, e.g. --split {source.splits[0]}.",
    )


def choose_label(source: Source, label: str | None, groups: Sequence[str] = ()) -> str | None:
    """The class column: the one asked for, else the only one that can be it.

    Args:
        source: The dataset.
        label: What the user asked for; None to find it.
        groups: The group columns; none of these is the class.

    Returns:
        The column's name; None where no column could be one.

    Raises:
        UsageError: The column asked for doesn't exist or can't be a class, a group is wrong, or
            several columns could be the class (they are listed).
    """
    _check_groups(source, label, groups)
    candidates = [column for column in source.columns if _could_be_label(source, column, groups)]
    if label is not None:
        _checked(source, label, "label")
        return label
    # The last rule reads the columns, so it is tried only where the others decide nothing.
    rules: list[Callable[[Column], bool]] = [
        lambda column: column.kind == "class",
        lambda column: column.name.lower() in CONVENTIONAL_LABELS,
        lambda column: True,
        lambda column: _repeats(source, column),
    ]
    for rule in rules:
        narrowed = [column for column in candidates if rule(column)]
        if len(narrowed) == 1:
            return narrowed[0].name
    if not candidates:
        return None
    listed = ", ".join(f"{column.name} ({column.kind})" for column in candidates)
    raise UsageError(
        f"{source.origin.location} has several columns that could be the class: {listed}.",
        f"Name the one to use, e.g. --label {candidates[0].name}.",
    )


def read_label_table(
    source: Source, split: str, label: str | None, groups: Sequence[str] = ()
) -> LabelTable:
    """The label table of one split; see `read_label_tables`."""
    return read_label_tables(source, [split], label, groups)[split]


def read_label_tables(
    source: Source, splits: Sequence[str], label: str | None, groups: Sequence[str] = ()
) -> dict[str, LabelTable]:
    """The label tables of some splits, in which the same code means the same value.

    The values are a ClassLabel's names, else the values that occur in any split of the source,
    sorted ("2" before "10"). Null is missing, and so is -1 where the column holds numbers.

    Args:
        source: The dataset.
        splits: Which splits.
        label: The class column; None where the images have no classes.
        groups: The group columns.

    Raises:
        UsageError: A column doesn't exist, is named twice, or can't hold classes or groups.
        RunError: A ClassLabel column holds a number that has no name.
    """
    _check_groups(source, label, groups)
    factors = {
        name: _read_factors(source, _checked(source, name, what), splits)
        for name, what in [(label, "label"), *((group, "group") for group in groups)]
        if name is not None
    }
    return {
        split: LabelTable(
            split,
            np.arange(source.count(split), dtype=np.int64),
            factors[label][split] if label is not None else None,
            tuple(factors[group][split] for group in groups),
        )
        for split in splits
    }


def _check_groups(source: Source, label: str | None, groups: Sequence[str]) -> None:
    for position, group in enumerate(groups):
        if group in groups[:position]:
            raise UsageError(f"The group '{group}' is named twice.", "Name each group once.")
        if group == label:
            raise UsageError(
                f"'{group}' is both the label and a group.", "Leave one of the two out."
            )
        _checked(source, group, "group")


def _checked(source: Source, name: str, what: str) -> Column:
    """The column, if it can hold classes or groups."""
    columns = {column.name: column for column in source.columns}
    fitting = [column.name for column in source.columns if _holds_values(source, column)]
    if name not in columns:
        raise UsageError(
            f"{source.origin.location} has no column '{name}' to be a {what}.",
            suggest(name, fitting, "columns that could be one"),
        )
    column = columns[name]
    if name not in fitting:
        held = "images" if column.kind == "image" else f"{_type_name(column)} values"
        raise UsageError(
            f"The column '{name}' can't be a {what}: it holds {held}, not classes, integers, "
            "strings or booleans.",
            suggest(name, fitting, "columns that could be one"),
        )
    return column


def _holds_values(source: Source, column: Column) -> bool:
    """Whether a column can hold classes or groups.

    Whole numbers with a null among them become floating-point in pandas, and stay it in the file.
    """
    if column.kind in _KINDS:
        return True
    if not _is_float(column):
        return False
    parts = (_as_floats(source.read_column(split, column.name)) for split in source.splits)
    # Above 2^53, and among infinities, whole numbers can't be told from others.
    return all(
        pc.all(
            pc.and_(pc.equal(part, pc.floor(part)), pc.less(pc.abs(part), float(1 << 53)))
        ).as_py()
        is not False
        for part in parts
    )


def _is_float(column: Column) -> bool:
    return column.kind == "other" and _type_name(column).startswith("float")


def _as_floats(stored: pa.ChunkedArray) -> pa.ChunkedArray:
    """As float64, which unlike float16 can be computed with; NaN becomes null."""
    wide = stored.cast(pa.float64())
    return pc.if_else(pc.is_nan(wide), pa.scalar(None, wide.type), wide)


def _type_name(column: Column) -> str:
    if not isinstance(column.feature, dict):
        return "nested"
    return str(column.feature.get("dtype") or column.feature.get("_type") or "nested")


def may_be_label(name: str) -> bool:
    """Whether a column's name isn't one for files, captions, sizes and the like."""
    return name.lower() not in _NO_LABELS and not name.lower().endswith(_NO_LABEL_ENDINGS)


def _could_be_label(source: Source, column: Column, groups: Sequence[str]) -> bool:
    name = column.name.lower()
    # Other floating-point columns are measurements: not even looked at.
    return (
        (column.kind in _KINDS or (name in CONVENTIONAL_LABELS and _holds_values(source, column)))
        and column.name not in groups
        and may_be_label(name)
    )


def _repeats(source: Source, column: Column) -> bool:
    """Whether a value occurs twice: what differs in every row names rows, not classes."""
    values = source.read_column(source.splits[0], column.name)
    present = len(values) - values.null_count
    distinct = pc.count_distinct(values, mode="only_valid").as_py()
    return bool(present > distinct)


def _read_factors(source: Source, column: Column, splits: Sequence[str]) -> dict[str, Factor]:
    if column.kind == "class":
        return {
            split: Factor(column.name, column.class_names, _class_codes(source, column, split))
            for split in splits
        }
    # All splits are read, whichever are wanted: a value has the same code in each.
    encoded = {
        split: _encode(_whole(source.read_column(split, column.name)), column.kind in _NUMBERS)
        for split in source.splits
    }
    distinct = {value for part in encoded.values() for value in part.values}
    values = _sorted_values(distinct)
    check_classes(values, f"The column '{column.name}' of {source.origin.location}")
    position = {value: code for code, value in enumerate(values)}
    factors = {}
    for split in splits:
        part = encoded[split]
        # The last entry stands for MISSING, which indexes it as -1.
        translation = np.array([*(position[v] for v in part.values), MISSING], dtype=np.int32)
        factors[split] = Factor(column.name, values, translation[part.codes])
    return factors


def _whole(stored: pa.ChunkedArray) -> pa.ChunkedArray:
    """Floating-point whole numbers as integers; anything else as it is."""
    return pc.cast(_as_floats(stored), pa.int64()) if pa.types.is_floating(stored.type) else stored


def _class_codes(source: Source, column: Column, split: str) -> NDArray[np.int32]:
    stored = whole = source.read_column(split, column.name)
    if pa.types.is_uint64(stored.type):
        # Numbers that int64 can't hold are no class's either.
        whole = pc.min_element_wise(stored, pa.scalar(1 << 62, pa.uint64()), skip_nulls=False)
    codes = to_numpy(whole, null=MISSING)
    names = column.class_names
    if len(codes) and not (codes.min() >= MISSING and codes.max() < len(names)):
        row = int(np.flatnonzero((codes < MISSING) | (codes >= len(names)))[0])
        raise RunError(
            f"{source.origin.location}: the label of {source.describe_row(split, row)} is "
            f"{stored[row].as_py()}, but '{column.name}' names {len(names)} classes.",
            "Correct the label, or the class names.",
        )
    return codes.astype(np.int32)


@dataclass(frozen=True, eq=False)
class _Encoded:
    """Distinct values in the order they occur, and each row's; MISSING where it has none."""

    values: list[Value]
    codes: NDArray[np.int32]


def _encode(stored: pa.ChunkedArray, is_integer: bool) -> _Encoded:
    chunks = stored.dictionary_encode().unify_dictionaries().chunks
    values = chunks[0].dictionary.to_pylist() if chunks else []
    indices = pa.chunked_array([chunk.indices for chunk in chunks], pa.int32())
    codes = to_numpy(indices, null=MISSING).astype(np.int32)
    if is_integer and MISSING in values:
        gone = values.index(MISSING)
        codes[codes == gone] = MISSING
        codes -= codes > gone
        del values[gone]
    return _Encoded(values, codes)


def _sorted_values(values: set[Value]) -> tuple[Value, ...]:
    return tuple(
        sorted(values, key=lambda value: natural_key(value) if isinstance(value, str) else value)
    )
