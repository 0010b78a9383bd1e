"""The names of splits and the order of names. Pure."""

import re
from collections.abc import Iterable

_SPLIT_OF_WORD = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
}
_SPLIT_ORDER = ("train", "validation", "test")
# 18 digits: Python refuses to convert numbers of thousands of digits.
_DIGITS = re.compile(r"([0-9]{1,18})")
_SEPARATORS = re.compile(r"[-._ 0-9]+")
_SHARD = re.compile(r"(?P<name>\w+(?:\.\w+)*)-[0-9]{4,}-of-[0-9]{4,}")


def canonical_split(name: str) -> str | None:
    """The split that a name stands for: "Val" is "validation"; None where it isn't a split's."""
    return _SPLIT_OF_WORD.get(name.lower())


def split_of_file(stem: str) -> str | None:
    """The split that a file's name (without its extension) tells, None where it tells none.

    "train", "cifar_test", "val-part1" tell theirs by the word; "NAME-00000-of-00003" tells NAME.
    """
    if shard := _SHARD.match(stem):
        return canonical_split(shard["name"]) or shard["name"]
    words = {canonical_split(word) for word in _SEPARATORS.split(stem)} - {None}
    return words.pop() if len(words) == 1 else None


def sort_splits(names: Iterable[str]) -> tuple[str, ...]:
    """Splits in the order they are shown: train, validation, test, then the others by name."""

    def position(name: str) -> tuple[int, str]:
        known = _SPLIT_ORDER.index(name) if name in _SPLIT_ORDER else len(_SPLIT_ORDER)
        return known, name

    return tuple(sorted(set(names), key=position))


def natural_key(name: str) -> tuple[list[str | int], str]:
    """A sort key under which "img2" comes before "img10"."""
    parts: list[str | int] = list(_DIGITS.split(name))
    parts[1::2] = map(int, parts[1::2])
    # "01" and "1" are equal as numbers: the name itself keeps the order the same everywhere.
    return parts, name


def origin_name(name: str) -> str:
    """A dataset's short name: letters, digits, '_', '.', '-' are kept, so it can name a folder."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "dataset"
