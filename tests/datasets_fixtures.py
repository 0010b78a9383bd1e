"""Small datasets of real image files, in every form that a source may have."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

Counts = Mapping[str, int]
"""Images a class."""

Labels = Literal["class", "int", "string"]

CIFAR10 = Path(__file__).parents[1].parent / "shared/data/cifar10"
IMAGE_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_EXTENSIONS = {"JPEG": "jpg", "TIFF": "tif", "JPEG2000": "jp2"}


def noise_image(seed: int, size: tuple[int, int] = (16, 16), mode: str = "RGB") -> Image.Image:
    """An image of coloured noise; another seed is another image."""
    levels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(levels).convert(mode)


def encode(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def image_bytes(
    seed: int, size: tuple[int, int] = (16, 16), format: str = "PNG", mode: str = "RGB"
) -> bytes:
    return encode(noise_image(seed, size, mode), format)


def make_imagefolder(
    root: Path,
    counts: Counts | Mapping[str, Counts],
    *,
    size: tuple[int, int] = (16, 16),
    format: str = "PNG",
    mode: str = "RGB",
) -> Path:
    """A folder of class folders, or of split folders that hold class folders.

    Args:
        root: Where to make it.
        counts: Images a class, or for each split images a class.
        size: Width and height of the images.
        format: Pillow's name of the file format.
        mode: Pillow's mode.
    """
    extension = _EXTENSIONS.get(format, format.lower())
    seed = 0
    for split, classes in _by_split(counts).items():
        for label, count in classes.items():
            folder = root / split / label if _has_splits(counts) else root / label
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                (folder / f"{number}.{extension}").write_bytes(
                    image_bytes(seed, size, format, mode)
                )
                seed += 1
    return root


def make_metadata_folder(
    root: Path, rows: Sequence[Mapping[str, Any]], *, file_column: str = "file_name"
) -> Path:
    """A folder with metadata.csv and the images that its rows name.

    Args:
        root: Where to make it.
        rows: One mapping an image; its `file_column` is the image's path below the root.
        file_column: The name of that column.
    """
    root.mkdir(parents=True, exist_ok=True)
    for seed, row in enumerate(rows):
        path = root / row[file_column]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image_bytes(seed))
    with open(root / "metadata.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return root


def make_table(
    counts: Counts,
    *,
    labels: Labels = "class",
    groups: Mapping[str, Sequence[Any]] | None = None,
    size: tuple[int, int] = (16, 16),
    format: str = "PNG",
    first_seed: int = 0,
) -> pa.Table:
    """A table with an image and a label column, as `datasets` would write it to Parquet.

    Args:
        counts: Images a class.
        labels: Whether the label is a ClassLabel, a bare integer or a string.
        groups: For each group column the values that its rows take in turn.
        size: Width and height of the images.
        format: Pillow's name of the file format.
        first_seed: The seed of the first image.
    """
    names = list(counts)
    codes = [code for code, name in enumerate(names) for _ in range(counts[name])]
    images = [
        {"bytes": image_bytes(first_seed + row, size, format), "path": f"{names[code]}-{row}"}
        for row, code in enumerate(codes)
    ]
    columns: dict[str, pa.Array] = {"image": pa.array(images, IMAGE_TYPE)}
    features: dict[str, Any] = {"image": {"_type": "Image"}}
    if labels == "string":
        columns["label"] = pa.array([names[code] for code in codes], pa.string())
    else:
        columns["label"] = pa.array(codes, pa.int64())
    if labels == "class":
        features["label"] = {"names": names, "_type": "ClassLabel"}
    for group, values in (groups or {}).items():
        columns[group] = pa.array([values[row % len(values)] for row in range(len(codes))])
    noted = json.dumps({"info": {"features": features}})
    return pa.table(columns).replace_schema_metadata({"huggingface": noted})


def make_parquet(path: Path, counts: Counts | Mapping[str, Counts], **options: Any) -> Path:
    """A Parquet file; or, where the counts are by split, a folder with one file a split.

    Args:
        path: The file or folder to make.
        counts: Images a class, or for each split images a class.
        options: As `make_table` takes them, and row_group_size.
    """
    row_group_size = options.pop("row_group_size", None)
    for number, (split, classes) in enumerate(_by_split(counts).items()):
        table = make_table(classes, first_seed=10_000 * number, **options)
        file = path / f"{split}.parquet" if _has_splits(counts) else path
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, file, row_group_size=row_group_size)
    return path


def make_cifar10(path: Path, train: int, test: int) -> Path:
    """A stand-in for CIFAR-10 in its own form, with so many images a class: JPEG noise, of which
    there are a hundred different ones.
    """
    names = ("airplane", "automobile", "bird", "cat", "deer",
             "dog", "frog", "horse", "ship", "truck")  # fmt: skip
    noise = [image_bytes(seed, (32, 32), "JPEG") for seed in range(100)]
    label = {"names": list(names), "_type": "ClassLabel"}
    noted = {"info": {"features": {"image": {"_type": "Image"}, "label": label}}}
    path.mkdir(parents=True)
    for split, images in (("train", train), ("test", test)):
        labels = [row % len(names) for row in range(len(names) * images)]
        held = [{"bytes": noise[row // 10 % 100], "path": None} for row in range(len(labels))]
        table = pa.table({"image": pa.array(held, IMAGE_TYPE), "label": pa.array(labels)})
        pq.write_table(
            table.replace_schema_metadata({"huggingface": json.dumps(noted)}),
            path / f"{split}.parquet",
        )
    return path


def make_cells(path: Path, cells: Mapping[tuple[str, str], int]) -> Path:
    """A Parquet file with so many images of each (class, place); the group column is `place`."""
    places = [place for (_, place), images in cells.items() for _ in range(images)]
    counts: dict[str, int] = {}
    for (name, _), images in cells.items():
        counts[name] = counts.get(name, 0) + images
    return make_parquet(path, counts, groups={"place": places})


def make_saved(path: Path, counts: Counts | Mapping[str, Counts], **options: Any) -> Path:
    """A save_to_disk folder of a Dataset; or of a DatasetDict, where the counts are by split."""
    import datasets

    held = {
        split: datasets.Dataset(make_table(classes, first_seed=10_000 * number, **options))
        for number, (split, classes) in enumerate(_by_split(counts).items())
    }
    if _has_splits(counts):
        datasets.DatasetDict(held).save_to_disk(path)
    else:
        held["train"].save_to_disk(path)
    return path


def _has_splits(counts: Counts | Mapping[str, Counts]) -> bool:
    return any(isinstance(value, Mapping) for value in counts.values())


def _by_split(counts: Counts | Mapping[str, Counts]) -> Mapping[str, Counts]:
    return counts if _has_splits(counts) else {"train": counts}  # type: ignore[return-value, dict-item]


def make_files(root: Path, names: Iterable[str]) -> Path:
    """Small images of one colour below a folder, which is made."""
    root.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image_bytes(number, (4, 4)))
    return root


def make_tree(root: Path, counts: Mapping[str, int]) -> Path:
    """Small images in folders, so many in each: {"train/cat": 3}."""
    return make_files(
        root,
        (
            f"{folder}/{k}.png" if folder else f"{k}.png"
            for folder in counts
            for k in range(counts[folder])
        ),
    )


def write_csv(
    path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]], **options: Any
) -> None:
    """A CSV file; `options` as csv.writer takes them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, **{"lineterminator": "\n", **options})
        writer.writerow(header)
        writer.writerows(rows)
