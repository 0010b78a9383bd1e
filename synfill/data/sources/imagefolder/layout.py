"""How a folder of images is laid out: which folders are splits, which are classes, and the
image files of each in an order that doesn't depend on the file system.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from synfill.config.layouts import Rule, folder_parts, parse_layout
from synfill.data.sources.imagefolder.levels import (
    Reading,
    describe,
    is_generic,
    read_levels,
    shorten,
)
from synfill.data.sources.imagefolder.metadata import has_metadata
from synfill.data.tree import Tree, image_names, join
from synfill.errors import UsageError
from synfill.names import canonical_split, natural_key, sort_splits
from synfill.wording import counted

Files = dict[str, str | None]
"""The image files of a split, in order: where each is, below the root -> the class folder that it
is in; None for one in no class folder.
"""


@dataclass(frozen=True, eq=False)
class Layout:
    """A folder of images, sorted out.

    Attributes:
        splits: The files of each split, train first.
        rules: How its folders are read.
        unclear: Where several levels of folders could name the classes: the error that says so.
            The images have no class then.
        notes: What was passed over, as sentences.
        class_notes: Folders that a user might have taken for classes.
        summary: What was taken for what, in a sentence; "" where that goes without saying.
    """

    splits: dict[str, Files]
    rules: tuple[Rule, ...]
    unclear: UsageError | None
    notes: tuple[str, ...]
    class_notes: tuple[str, ...]
    summary: str = ""

    @property
    def class_names(self) -> list[str]:
        """The class folders of all splits, sorted as torchvision and datasets do."""
        return sorted({c for files in self.splits.values() for c in set(files.values()) if c})

    @property
    def files(self) -> Files:
        """The files of all splits."""
        return {path: label for held in self.splits.values() for path, label in held.items()}

    @property
    def has_split_folders(self) -> bool:
        """Whether folders name the splits."""
        return any(rule.names_split for rule in self.rules)

    @property
    def folders(self) -> list[str]:
        """Folders on the way to the classes, "" first: where a table of labels may stand."""
        found = [""]
        for rule in self.rules:
            parts = folder_parts(rule.root)
            found += ["/".join(parts[: end + 1]) for end in range(len(parts))]
        return list(dict.fromkeys(found))

    def place(self, path: str) -> tuple[str, str | None] | None:
        """The split and the class of a file; None where no rule holds for it.

        Args:
            path: Where the file is, or would be, below the root.
        """
        found = _place(path.rpartition("/")[0], self.rules)
        return found[1:] if found is not None else None


def lay_out(spec: str, tree: Tree, layout: str | None = None) -> Layout:
    """Find the splits, the classes, and the images.

    Args:
        spec: What the user gave, for messages.
        tree: What is in the folder.
        layout: What each level of folders names (`--layout`); None to find out.

    Raises:
        UsageError: There are no images, or none where `layout` says.
    """
    images = image_names(tree.folders)
    if not any(images.values()):
        empty = len(tree.folders) == 1 and not tree.folders[""]
        raise UsageError(
            f"The folder '{spec}' is empty." if empty else f"'{spec}' holds no images.",
            "Give a folder with a subfolder of images for each class, with a metadata.csv, or "
            "with Parquet files.",
        )

    def marks_split(folder: str) -> bool:
        return has_metadata(tree, [folder]) or bool(tree.children(folder))

    if layout is not None:
        reading = Reading((parse_layout(layout),))
    else:
        folders = {tuple(folder_parts(name)): len(held) for name, held in images.items() if held}
        reading = read_levels(folders, marks_split)
    # `datasets` leaves them out, too; but a class "..." is one that somebody may miss.
    hidden = [folder for folder, names in image_names(tree.hidden).items() if names]
    notes = [f"The hidden folder {folder} is left out, with its images." for folder in hidden]
    splits, passed = _sort(images, reading.rules)
    if layout is not None and not _reaches(splits, reading.rules[0]):
        raise UsageError(
            f"No image in '{spec}' lies so deep as --layout '{layout}' says.",
            f"An image there: {next(_shown_images(images))}.",
        )
    for rule in reading.rules:
        if rule.class_at == 0 and layout is None:
            notes += _empty_folders(tree, images, rule.root)
    beside = _beside(reading.rules) if layout is None else f"which --layout {layout} leaves out"
    notes += _passed_over(passed, beside, reading.rules[0].root)
    unclear = _unclear(spec, images, reading.others)
    found = Layout(splits, reading.rules, unclear, tuple(notes), reading.notes)
    # "images" beside "masks": hardly classes, even where everything else looks so.
    is_plain = reading.is_plain and not any(
        is_generic(name) and not canonical_split(name) for name in found.class_names
    )
    if is_plain or unclear is not None:
        return found
    return replace(found, summary=describe(reading.rules, found.splits, found.class_names))


def _place(folder: str, rules: Sequence[Rule]) -> tuple[int, str, str | None] | None:
    """Which rule holds for a folder, the split and the class of the images in it."""
    for number, rule in enumerate(rules):
        parts = _parts_below(folder, rule.root)
        if parts is not None and (place := rule.place(parts)) is not None:
            return number, *place
    return None


def _parts_below(folder: str, root: str) -> list[str] | None:
    """The names on the way from one folder to another below it; None if it isn't below."""
    if folder == root:
        return []
    prefix = f"{root}/" if root else ""
    return folder[len(prefix) :].split("/") if folder.startswith(prefix) else None


def _sort(
    images: Mapping[str, list[str]], rules: Sequence[Rule]
) -> tuple[dict[str, Files], dict[str, int]]:
    """The files of each split: those in no class first, then class by class; and of each folder
    that no rule holds for, how many images are in it.
    """
    placed: dict[str, list[tuple[int, str | None, str]]] = {}
    passed: dict[str, int] = {}
    for folder, names in images.items():
        if names and (place := _place(folder, rules)) is not None:
            number, split, label = place
            placed.setdefault(split, []).append((number, label, folder))
        elif names:
            passed[folder] = len(names)
    splits: dict[str, Files] = {}
    for split in sort_splits(placed):
        splits[split] = {}
        for _, label, folder in sorted(placed[split], key=_order):
            names = sorted(images[folder], key=natural_key)
            splits[split].update(dict.fromkeys([join(folder, name) for name in names], label))
    return splits, passed


def _order(placed: tuple[int, str | None, str]) -> tuple[object, ...]:
    rule, label, folder = placed
    return rule, label is not None, natural_key(label or ""), folder


def _reaches(splits: Mapping[str, Files], rule: Rule) -> bool:
    """Whether a rule gives some image a split, and a class where it names classes."""
    found = {label for files in splits.values() for label in files.values()}
    return bool(splits) and (rule.class_at is None or found != {None})


def _shown_images(images: Mapping[str, list[str]]) -> Iterator[str]:
    return (join(folder, name) for folder, names in sorted(images.items()) for name in names)


def _empty_folders(tree: Tree, images: dict[str, list[str]], root: str) -> list[str]:
    """A note on the folders that could be classes but hold no image."""
    prefix = f"{root}/" if root else ""
    held = {
        folder[len(prefix) :].partition("/")[0]
        for folder, names in images.items()
        if names and folder.startswith(prefix)
    }
    without = [join(root, n) for n in sorted(tree.children(root), key=natural_key) if n not in held]
    return [f"Folders without images are no classes: {', '.join(without)}."] if without else []


def _beside(rules: Sequence[Rule]) -> str:
    """What images that no rule holds for are beside."""
    if any(rule.names_split for rule in rules):
        return "beside the folders of the splits"
    return f"beside the folder {rules[0].root}"


def _passed_over(passed: Mapping[str, int], beside: str, root: str) -> list[str]:
    """Notes on the images that no rule holds for, by the folder beside `root` they are in."""
    counts = Counter[str]()
    for folder, count in passed.items():
        counts["/".join(folder.split("/")[: root.count("/") + 1])] += count
    return [
        f"{counted(count, 'image')} in {f'the folder {top}' if top else 'no folder'}, {beside}, "
        f"{'is' if count == 1 else 'are'} passed over."
        for top, count in sorted(counts.items())
    ]


def _unclear(
    spec: str, images: Mapping[str, list[str]], readings: Sequence[tuple[Rule, ...]]
) -> UsageError | None:
    """The error that shows each way to read the folders."""
    if not readings:
        return None
    lines = []
    for rules in readings:
        files = _sort(images, rules)[0].values()
        counts = Counter(label for held in files for label in held.values() if label is not None)
        named = [f"{name} ({counts[name]:,})" for name in sorted(counts, key=natural_key)]
        lines.append(f"  --layout '{rules[0].pattern()}': classes {shorten(named)}")
    listed = "\n".join(lines)
    return UsageError(
        f"The folders of '{spec}' could be classes in {len(readings)} ways:\n{listed}",
        "Choose with --layout, or give a deeper folder. A folder's own name in --layout takes "
        "only the images below it.",
    )
