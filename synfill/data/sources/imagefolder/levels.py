"""What the levels of a tree of image folders name: splits, classes, or nothing. Pure.

A tree is read as it is meant: folders that hold one folder alone are passed through, folders named
after splits are splits at whatever level they stand, and a level in which all is called the same
names no class. Where several levels could name the classes, that is said, never decided.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from synfill.config.layouts import Rule
from synfill.data.tree import join
from synfill.names import canonical_split, natural_key, sort_splits, split_of_file

_SEPARATORS = re.compile(r"[-._ 0-9]+")
_GENERIC = frozenset({
    "image", "images", "img", "imgs", "jpegimages", "photo", "photos", "picture", "pictures",
    "pic", "pics", "jpg", "jpeg", "jpegs", "png", "pngs", "rgb", "data", "dataset", "datasets",
    "files", "raw", "all", "input", "inputs", "frames", "part", "archive",
})  # fmt: skip
"""Words that say what is in a folder, not of which class it is."""

_UNLABELLED = frozenset({"unknown", "unlabeled", "unlabelled", "unclassified"})
"""What the one folder of a split whose images nobody has labelled is called."""

_NEARLY_ALL = 0.95
"""Share of the images that must lie below a level for it to be one that all of them have."""

_SHOWN = 5
_FEWEST = 2
"""Fewer folders than these name no classes."""


@dataclass(frozen=True)
class Reading:
    """How a tree is read.

    Attributes:
        rules: One a split's folder, or a single one; no two hold for the same folder.
        others: Other rules that fit as well, where it isn't clear: a list for each reading.
        is_plain: Whether it is the plain layout: classes, or splits that hold classes.
        notes: Folders that a user might have taken for classes.
    """

    rules: tuple[Rule, ...]
    others: tuple[tuple[Rule, ...], ...] = ()
    is_plain: bool = True
    notes: tuple[str, ...] = ()


Folders = Mapping[tuple[str, ...], int]
"""How many images are directly in a folder, for each that holds some: by the names on the way to
it from the folder that is looked at.
"""


def read_levels(top: Folders, marks_split: Callable[[str], bool]) -> Reading:
    """Find out what each level of folders names.

    Args:
        top: The folders that hold images.
        marks_split: Whether a folder holds folders or metadata of its own, as a split's does.
    """
    node, base = _unwrap(top)
    folders = _split_folders(node, base, marks_split)
    if not folders:
        inner = _split_level(node)
        if inner is not None:
            return _with_split_level(node, base, inner)
        mixed = _mixed(node, base)
        if mixed is not None:
            return mixed
    children: Mapping[str, Folders] = _children(node)
    roots = {join(base, name): children[name] for name in folders} or {base: node}
    splits = {join(base, name): split for name, split in folders.items()} or {base: "train"}
    found = {root: _class_levels(below) for root, below in roots.items()}
    unclear = [levels for levels in found.values() if len(levels) > 1]
    if unclear:
        wanted = sorted({level for levels in unclear for level in levels})
        readings = [
            tuple(Rule(root, splits[root], class_at=level) for root in roots) for level in wanted
        ]
        return Reading(_flat(readings[0]), tuple(readings), is_plain=False)
    decided = {root: levels[0] for root, levels in found.items() if levels}
    rules, notes = [], []
    for root, below in roots.items():
        level = decided.get(root)
        if level is None:
            level, note = _level_of_one(root, below, roots, decided)
            notes += [note] if note else []
        rules.append(Rule(root, splits[root], class_at=level))
    notes += _other_words(rules, roots)
    exact = all(canonical_split(name) == split for name, split in folders.items())
    is_plain = not base and exact and not any(rule.class_at for rule in rules)
    return Reading(tuple(rules), (), is_plain, tuple(notes))


def is_generic(name: str) -> bool:
    """Whether a folder's name says what is in it, not of which class: "train_images", "data"."""
    words = [word for word in _SEPARATORS.split(name.lower()) if word]
    return bool(words) and all(word in _GENERIC or canonical_split(word) for word in words)


def are_doubtful(names: Collection[str]) -> bool:
    """Whether names of folders are likely those of parts, not of classes: "part_1", "part_2"."""
    stems = {re.sub(r"[0-9]+", "", name) for name in names}
    return len(stems) == 1 or any(is_generic(name) for name in names)


def shorten(names: Iterable[str], shown: int = _SHOWN) -> str:
    """Names for a message: the first few, and how many more."""
    listed = list(names)
    more = f", ... ({len(listed)} in all)" if len(listed) > shown else ""
    return ", ".join(listed[:shown]) + more


def _children(node: Folders) -> dict[str, dict[tuple[str, ...], int]]:
    """The folders directly below one, each with what is below it in turn."""
    found: dict[str, dict[tuple[str, ...], int]] = {}
    for path, images in node.items():
        if path:
            found.setdefault(path[0], {})[path[1:]] = images
    return found


def _flat(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """The same splits without classes."""
    return tuple(Rule(rule.root, rule.split, rule.split_at) for rule in rules)


def _unwrap(top: Folders) -> tuple[Folders, str]:
    """The first folder that holds more than one folder, a split's, or images of its own."""
    node, path = top, ""
    while len(children := _children(node)) == 1:
        ((name, child),) = children.items()
        few = (1 - _NEARLY_ALL) * sum(child.values())
        below = _children(child)
        is_class = not below or child.get((), 0) > (few if len(below) > 1 else 0)
        if is_class or canonical_split(name) or node.get((), 0) > few:
            break
        node, path = child, join(path, name)
    return node, path


def _split_folders(node: Folders, base: str, marks_split: Callable[[str], bool]) -> dict[str, str]:
    """Which of a folder's folders stand for splits: name -> split; empty where none does."""
    children = _children(node)
    top = sorted(children)
    splits = {name: split for name in top if (split := canonical_split(name))}
    if splits:
        # Of vehicles, "train" is a class: a split's folder holds folders or metadata of its own,
        # where it stands beside folders that are no splits.
        train = [join(base, name) for name, split in splits.items() if split == "train"]
        if len(splits) == len(top):
            return splits
        if any(map(marks_split, train)):
            # "test1" beside "train": no other is the test split.
            more = {name: split_of_file(name) for name in top if name not in splits}
            return splits | {n: s for n, s in more.items() if s and s not in splits.values()}
    splits = {name: split for name in top if (split := split_of_file(name))}
    if "train" not in splits.values() or len(set(splits.values())) < 2:
        return {}
    is_above = all(() not in children[name] for name in splits)
    return splits if is_above or len(splits) == len(top) else {}


def _levels(node: Folders) -> list[dict[str, int]]:
    """For each level that (nearly) all images lie below, its names and the images of each.

    That holds for each of the first level's folders by itself, however few images it has.
    """
    levels: list[dict[str, int]] = []
    wholes: dict[str, int] = {}
    deep: list[dict[str, int]] = []
    for path, count in node.items():
        first = path[0] if path else ""
        wholes[first] = wholes.get(first, 0) + count
        for level, name in enumerate(path):
            if level == len(levels):
                levels.append({})
                deep.append({})
            levels[level][name] = levels[level].get(name, 0) + count
            deep[level][first] = deep[level].get(first, 0) + count
    strays = wholes.pop("", 0)
    if strays > (1 - _NEARLY_ALL) * (strays + sum(wholes.values())):
        return []
    return [
        names
        for names, below in zip(levels, deep, strict=True)
        if all(below.get(first, 0) >= _NEARLY_ALL * whole for first, whole in wholes.items())
    ]


def _names_at(node: Folders, level: int) -> set[str]:
    return {path[level] for path in node if len(path) > level}


def _class_levels(node: Folders, left_out: int | None = None) -> list[int]:
    """The levels that could name the classes: those in which several folders differ.

    Args:
        node: The folder that the levels are below.
        left_out: A level that names something else.
    """
    levels = _levels(node)
    if not levels:
        return [0] if not all(map(is_generic, _children(node))) else []
    kept: list[int] = []
    for level, names in enumerate(levels):
        if level == left_out or len(names) < _FEWEST or all(map(is_generic, names)):
            continue
        if not any(_divide_alike(node, earlier, level) for earlier in kept):
            kept.append(level)
    return kept


def _other_words(rules: Iterable[Rule], roots: Mapping[str, Folders]) -> list[str]:
    """A note where folders one level below call the same classes otherwise: n01440764/tench."""
    for rule in rules:
        if rule.class_at is None or (below := rule.class_at + 1) >= len(_levels(roots[rule.root])):
            continue
        names = _names_at(roots[rule.root], below)
        if len(names) >= _FEWEST and _divide_alike(roots[rule.root], rule.class_at, below):
            other = replace(rule, class_at=below).pattern()
            words = shorten(sorted(names, key=natural_key))
            return [f"The same classes are called {words} one level below: --layout '{other}'."]
    return []


def _divide_alike(node: Folders, first: int, second: int) -> bool:
    """Whether two levels divide the images alike: then they differ in their words alone."""
    pairs = {(path[first], path[second]) for path in node if len(path) > second}
    return len(pairs) == len({one for one, _ in pairs}) == len({two for _, two in pairs})


def _level_of_one(
    root: str, node: Folders, roots: Mapping[str, Folders], decided: Mapping[str, int]
) -> tuple[int | None, str]:
    """The class level of a split that has folders of one name only; and a note."""
    levels = _levels(node)
    known = {name for other, at in decided.items() for name in _names_at(roots[other], at)}
    wanted = set(decided.values())
    if len(wanted) == 1 and (level := wanted.pop()) < len(levels) and set(levels[level]) <= known:
        return level, ""
    fitting = [level for level, names in enumerate(levels) if not any(map(is_generic, names))]
    if not fitting:
        named = ", ".join(join(root, name) for name in sorted(_children(node)))
        return None, f"{named}: that name is taken for no class." if levels else ""
    if len(known) > 1:
        name = next(iter(levels[fitting[-1]]))
        if name.lower() in _UNLABELLED:
            return None, f"{join(root, name)}: that name is taken for no class."
    return fitting[-1], ""


def _split_level(node: Folders) -> int | None:
    """The level below the first in which all folders are named after splits."""
    for level, names in enumerate(_levels(node)):
        if level and () not in node and all(map(canonical_split, names)):
            return level
    return None


def _with_split_level(node: Folders, base: str, split_at: int) -> Reading:
    """Splits within classes: cat/train, cat/test, dog/train, ..."""
    found = _class_levels(node, split_at)
    rules = [(Rule(base, None, split_at, level),) for level in found]
    if len(rules) == 1:
        return Reading(rules[0], is_plain=False)
    return Reading((Rule(base, None, split_at),), tuple(rules), is_plain=False)


def _mixed(node: Folders, base: str) -> Reading | None:
    """Some of the folders hold splits and others don't: both readings; None where none does."""
    for child in _children(node).values():
        below = _children(child)
        if () in child or len(below) < _FEWEST or not all(map(canonical_split, below)):
            continue
        readings = ((Rule(base, class_at=0),), (Rule(base, None, split_at=1, class_at=0),))
        return Reading((Rule(base),), readings, is_plain=False)
    return None


def describe(rules: Iterable[Rule], splits: Collection[str], classes: Collection[str]) -> str:
    """One sentence on how a tree was read."""
    patterns = list(dict.fromkeys(rule.pattern() for rule in rules))
    shown = ", ".join(sort_splits(splits))
    named = shorten(sorted(classes, key=natural_key))
    what = f"classes: {named}" if classes else "no classes"
    return f"Read as {' and '.join(patterns) or 'images'}: split{'s' * (len(splits) > 1)} " + (
        f"{shown}; {what}. If that isn't meant: --layout."
    )
