"""How a folder of images is laid out: which folders are splits, which are classes, and the
image files of each in an order that doesn't depend on the file system.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from synfill.data.metadata import has_metadata
from synfill.data.names import canonical_split, natural_key, sort_splits
from synfill.data.tree import Tree, join
from synfill.errors import UsageError

# fmt: off
IMAGE_EXTENSIONS = frozenset({
    "apng", "avif", "bmp", "bw", "dds", "dib", "gif", "icns", "ico", "j2c", "j2k", "jfif",
    "jp2", "jpc", "jpe", "jpeg", "jpf", "jpg", "jpx", "mpo", "pbm", "pcx", "pgm", "png",
    "pnm", "ppm", "qoi", "rgb", "rgba", "sgi", "tga", "tif", "tiff", "webp",
})
# fmt: on


@dataclass(eq=False)
class Files:
    """The image files of a split.

    Attributes:
        paths: Where each is, below the root.
        classes: The class folder that each is in; None for one in no class folder.
    """

    paths: list[str] = field(default_factory=list)
    classes: list[str | None] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Layout:
    """A folder of images, sorted out.

    Attributes:
        splits: The files of each split, train first.
        folders: The split that each folder of a split stands for; {"": "train"} where there
            are no split folders.
        notes: What was passed over, as sentences.
    """

    splits: dict[str, Files]
    folders: dict[str, str]
    notes: tuple[str, ...]

    @property
    def class_names(self) -> list[str]:
        """The class folders of all splits, sorted as torchvision and datasets do."""
        return sorted({c for files in self.splits.values() for c in set(files.classes) if c})


def _images(folders: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Those of each folder's files that are images."""
    return {
        folder: [name for name in names if name.rpartition(".")[2].lower() in IMAGE_EXTENSIONS]
        for folder, names in folders.items()
    }


def lay_out(spec: str, tree: Tree) -> Layout:
    """Find the splits, the classes, and the images.

    Args:
        spec: What the user gave, for messages.
        tree: What is in the folder.

    Raises:
        UsageError: There are no images.
    """
    images = _images(tree.folders)
    if not any(images.values()):
        empty = len(tree.folders) == 1 and not tree.folders[""]
        raise UsageError(
            f"The folder '{spec}' is empty." if empty else f"'{spec}' holds no images.",
            "Give a folder with a subfolder of images for each class, with a metadata.csv, or "
            "with Parquet files.",
        )
    folders = _split_folders(tree, images)
    # `datasets` leaves them out, too; but a class "..." is one that somebody may miss.
    hidden = [folder for folder, names in _images(tree.hidden).items() if names]
    notes = [f"The hidden folder {folder} is left out, with its images." for folder in hidden]
    splits: dict[str, Files] = {}
    for folder, split in folders.items():
        _list_split(tree, images, folder, splits.setdefault(split, Files()), notes)
    if "" not in folders:
        notes += _passed_over(images, folders)
    ordered = {split: splits[split] for split in sort_splits(splits) if splits[split].paths}
    return Layout(ordered, folders, tuple(notes))


def _split_folders(tree: Tree, images: dict[str, list[str]]) -> dict[str, str]:
    """The folders that stand for splits; the root alone where none does."""
    top = [folder for folder in tree.children("") if _holds(tree, images, folder)]
    told = {folder: split for folder in top if (split := canonical_split(folder))}
    if not told:
        return {"": "train"}
    if len(told) == len(top):
        return told
    # Of vehicles, "train" is a class: a split's folder holds folders or metadata of its own,
    # where it stands beside folders that are no splits.
    train = [folder for folder, split in told.items() if split == "train"]
    if has_metadata(tree, train) or any(tree.children(folder) for folder in train):
        return told
    return {"": "train"}


def _passed_over(images: dict[str, list[str]], folders: dict[str, str]) -> list[str]:
    """Notes on the images that stand beside the split folders."""
    counts: dict[str, int] = {}
    for folder, names in images.items():
        top = folder.partition("/")[0]
        if names and top not in folders:
            counts[top] = counts.get(top, 0) + len(names)
    return [
        f"{count} images in {f'the folder {top}' if top else 'no folder'}, beside the folders of "
        "the splits, are passed over."
        for top, count in sorted(counts.items())
    ]


def _list_split(
    tree: Tree, images: dict[str, list[str]], folder: str, files: Files, notes: list[str]
) -> None:
    """Add the images of one split's folder: those in no class first, then class by class."""
    _add(files, folder, images[folder], None)
    without = []
    for name in sorted(tree.children(folder), key=natural_key):
        within = tree.within(join(folder, name))
        if not any(images[below] for below in within):
            without.append(join(folder, name))
        for below in within:
            _add(files, below, images[below], name)
    if without:
        notes.append(f"Folders without images are no classes: {', '.join(without)}.")


def _add(files: Files, folder: str, names: list[str], label: str | None) -> None:
    files.paths += [join(folder, name) for name in sorted(names, key=natural_key)]
    files.classes += [label] * len(names)


def _holds(tree: Tree, images: dict[str, list[str]], folder: str) -> bool:
    return any(images[below] for below in tree.within(folder))
