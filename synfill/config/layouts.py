"""How folders are read, level by level: a rule, and the words in which users say it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from synfill.errors import UsageError
from synfill.names import canonical_split, split_of_file

_SPLIT, _CLASS, _ANY = "split", "class", "*"
_SPLIT_NAME = re.compile(r"\w+(\.\w+)*")


@dataclass(frozen=True)
class Rule:
    """How the folders below one folder are read; levels below it count from 0.

    Attributes:
        root: The folder, "" for the whole tree.
        split: The split of all images below it; None if a level names it.
        split_at: The level that names the split.
        class_at: The level that names the class; None if none does.
        fixed: Levels at which a folder must have this name, or its images are passed over.
    """

    root: str
    split: str | None = "train"
    split_at: int | None = None
    class_at: int | None = None
    fixed: tuple[tuple[int, str], ...] = ()

    def place(self, parts: list[str]) -> tuple[str, str | None] | None:
        """The split and the class (None: none) of the images in a folder below the root.

        Args:
            parts: The names of the folders on the way from the root to it.

        Returns:
            None where the images are passed over.
        """
        if any(len(parts) <= level or parts[level] != name for level, name in self.fixed):
            return None
        split = self.split
        if self.split_at is not None:
            split = _level_split(parts[self.split_at]) if len(parts) > self.split_at else None
        if split is None:
            return None
        if self.class_at is None or len(parts) <= self.class_at:
            return split, None
        return split, parts[self.class_at]

    @property
    def names_split(self) -> bool:
        """Whether a folder's name says the split."""
        return self.split_at is not None or self._root_is_split

    @property
    def _root_is_split(self) -> bool:
        name = self.root.rpartition("/")[2]
        return self.split is not None and bool(name) and _level_split(name) == self.split

    def pattern(self) -> str:
        """The rule as `--layout` takes it."""
        roles = [name if name not in (_SPLIT, _CLASS) else _ANY for name in folder_parts(self.root)]
        if self._root_is_split:
            roles[-1] = _SPLIT
        levels = (self.class_at, self.split_at)
        last = max((level for level in levels if level is not None), default=-1)
        below = dict.fromkeys(range(last + 1), _ANY) | dict(self.fixed)
        if self.split_at is not None:
            below[self.split_at] = _SPLIT
        if self.class_at is not None:
            below[self.class_at] = _CLASS
        return "/".join([*roles, *below.values()])


def parse_layout(text: str) -> Rule:
    """What `--layout` says: for each level of folders below the source "split", "class", "*" for
    neither, or the name of the one folder that is meant.

    Raises:
        UsageError: It says nothing, or names a role twice.
    """
    roles = [part.strip() for part in text.strip().strip("/").split("/")]
    wrong = [role for role in roles if role in ("", ".", "..")]
    if wrong or roles.count(_SPLIT) > 1 or roles.count(_CLASS) > 1:
        raise UsageError(
            f"--layout '{text}' says nothing of a folder: each level below SOURCE is 'class', "
            "'split', '*' or a folder's own name, with '/' between; class and split at most once.",
            "For example --layout split/class, or --layout '*/class'.",
        )
    known = (_SPLIT, _CLASS, _ANY)
    return Rule(
        "",
        split=None if _SPLIT in roles else "train",
        split_at=roles.index(_SPLIT) if _SPLIT in roles else None,
        class_at=roles.index(_CLASS) if _CLASS in roles else None,
        fixed=tuple((level, role) for level, role in enumerate(roles) if role not in known),
    )


def check_layout(text: str | None) -> None:
    """Check what `--layout` says, if it says anything.

    Raises:
        UsageError: As `parse_layout` does.
    """
    if text is not None:
        parse_layout(text)


def _level_split(name: str) -> str | None:
    """The split that a folder at a level of splits stands for."""
    known = canonical_split(name) or split_of_file(name)
    return known or (name if _SPLIT_NAME.fullmatch(name) else None)


def folder_parts(folder: str) -> list[str]:
    """The names of the folders on the way to a folder, itself the last."""
    return folder.split("/") if folder else []
