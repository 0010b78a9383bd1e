"""The names of splits, which names from data are believed, and the order of names. Pure."""

import re
from collections.abc import Iterable

from synfill.errors import RunError

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
# What `datasets` allows (naming._split_re).
_SPLIT_NAME = re.compile(r"\w+(?:\.\w+)*")
_SHARD = re.compile(rf"(?P<name>{_SPLIT_NAME.pattern})-[0-9]{{4,}}-of-[0-9]{{4,}}")
_LONGEST_SPLIT = 200
_LONGEST_CLASS = 1000
_DRIVE = re.compile(r"[A-Za-z]:")


def canonical_split(name: str) -> str | None:
    """The split that a name stands for: "Val" is "validation"; None where it isn't a split's."""
    return _SPLIT_OF_WORD.get(name.lower())


def check_split(name: object, where: str) -> str:
    """A split's name that stands in data, if it may become part of a file's name.

    Args:
        name: The name.
        where: The file and field that it stands in, for the message.

    Raises:
        RunError: It isn't made of letters, digits, '_' and single dots between them, which is
            all that `datasets` allows; or it is longer than 200 bytes.
    """
    fits = isinstance(name, str) and _SPLIT_NAME.fullmatch(name)
    # `\w` doesn't match half a surrogate pair: what fits can be encoded.
    if isinstance(name, str) and fits and len(name.encode()) <= _LONGEST_SPLIT:
        return name
    raise RunError(
        f"{where}: {_shown(name)} can't be the name of a split.",
        "Rename it there: a split's name has letters, digits, '_' and dots between them, and "
        f"{_LONGEST_SPLIT} bytes at most.",
    )


def check_path(name: object, where: str) -> str:
    """A path that stands in data, if it is one below the dataset's folder, with '/'.

    Args:
        name: The path.
        where: The file and field that it stands in, for the message.

    Raises:
        RunError: It leads out of the folder (`..`, an absolute path, a drive), or no file can
            be called so.
    """
    if isinstance(name, str) and name:
        parts = re.split(r"[/\\]", name)
        leaves = not parts[0] or ".." in parts or _DRIVE.match(name)
        if not leaves and "\0" not in name and is_text(name):
            return name
    raise RunError(
        f"{where}: {_shown(name)} is no path of a file below the dataset's folder.",
        "Correct it there; a dataset may not name files outside of its own folder.",
    )


def check_classes(names: object, where: str) -> tuple[str, ...]:
    """The class names that stand in data, in order.

    Args:
        names: A list of them.
        where: The file and field that they stand in, for the message.

    Raises:
        RunError: One is no text (or number), too long to be a name, or stands twice.
    """
    found: dict[str, None] = {}
    for name in names if isinstance(names, list | tuple) else [names]:
        text = str(name) if isinstance(name, str | int | float) else ""
        if not isinstance(name, str | int | float) or not is_text(text):
            raise RunError(
                f"{where}: {_shown(name)} can't be the name of a class.", "Correct it there."
            )
        if len(text) > _LONGEST_CLASS:
            raise RunError(
                f"{where}: a class has a name of {len(text):,} characters ({_shown(text)}).",
                f"Shorten it: {_LONGEST_CLASS:,} are enough. Or is another column the class "
                "(--label)?",
            )
        if text in found:
            raise RunError(
                f"{where}: two classes have the same name, {_shown(text)}.",
                "Each class needs a name of its own: rename one of them.",
            )
        found[text] = None
    return tuple(found)


def is_text(name: str) -> bool:
    """Whether a name can be stored as text: file names may hold bytes that aren't UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def readable(name: str) -> str:
    """A file's name as text, with marks for the bytes that aren't UTF-8."""
    return (
        name if is_text(name) else name.encode("utf-8", "surrogateescape").decode(errors="replace")
    )


def _shown(name: object) -> str:
    text = repr(name)
    return text if len(text) <= 80 else f"{text[:77]}..."


def split_of_file(stem: str) -> str | None:
    """The split that a file's name (without its extension) says, None where it says none.

    "train", "cifar_test", "val-part1" say theirs by the word; "NAME-00000-of-00003" says NAME.
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
    parts: list[str | int] = _DIGITS.split(name)
    parts[1::2] = map(int, parts[1::2])
    # "01" and "1" are equal as numbers: the name itself keeps the order the same everywhere.
    return parts, name


def origin_name(name: str) -> str:
    """A dataset's short name: letters, digits, '_', '.', '-' are kept, so it can name a folder."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "dataset"
