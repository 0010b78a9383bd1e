"""A labelled dataset in memory, each image a square."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from benchmarks.text_to_image.settings import Settings
from synfill.data.source import Source
from synfill.records import Cell


@dataclass(frozen=True, eq=False)
class Pictures:
    """A dataset in memory.

    Attributes:
        pixels: uint8, shape (images, 3, size, size), 0..255.
        cells: Every cell that occurs.
        cell_of: int64, shape (images,): the position of an image's cell in `cells`.
    """

    pixels: Tensor
    cells: tuple[Cell, ...]
    cell_of: Tensor


def open_pictures(settings: Settings) -> Pictures:
    """Reads the dataset and scales its images to a square."""
    source: Source
    if settings.source == "demo":
        from synfill.data.sources.demo import DemoSource

        source = DemoSource().pool()
    else:
        from synfill.data.source import open_source

        source = open_source(settings.source)
    split = settings.split or source.splits[0]
    image = next(column.name for column in source.columns if column.kind == "image")
    columns = {column.name: column for column in source.columns}

    def read_names(name: str) -> list[str | None]:
        values = source.read_column(split, name).to_pylist()
        names = columns[name].class_names
        missing = (None, -1) if names else (None,)
        return [
            None if value in missing else names[value] if names else str(value) for value in values
        ]

    labels = read_names(settings.label)
    groups = [read_names(column) for column in settings.groups]
    of_row = {
        row: Cell(label, tuple(zip(settings.groups, values, strict=True)))
        for row, (label, *values) in enumerate(zip(labels, *groups, strict=True))
        if None not in (label, *values)
    }
    # In the columns' own order (a ClassLabel's), not by name.
    order = {
        name: {value: place for place, value in enumerate(columns[name].class_names)}
        for name in (settings.label, *settings.groups)
    }
    cells = sorted(
        set(of_row.values()),
        key=lambda cell: (
            order[settings.label].get(cell.label, 0),
            cell.label,
            *((order[name].get(value, 0), value) for name, value in cell.groups),
        ),
    )
    place = {cell: position for position, cell in enumerate(cells)}
    pixels, rows = [], []
    for numbers, batch in source.iter_rows(split):
        for row, entry in zip(numbers, batch[image].to_pylist(), strict=True):
            if int(row) not in of_row or entry is None or entry["bytes"] is None:
                continue
            pixels.append(scale_picture(entry["bytes"], settings.size))
            rows.append(int(row))
    stacked = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous()
    return Pictures(stacked, tuple(cells), torch.tensor([place[of_row[row]] for row in rows]))


def scale_picture(content: bytes, size: int) -> NDArray[np.uint8]:
    """The middle square of an image: RGB, shape (size, size, 3), 0..255."""
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    if picture.size != (size, size):
        short = min(picture.size)
        left, top = (picture.width - short) // 2, (picture.height - short) // 2
        box = (left, top, left + short, top + short)
        picture = picture.resize((size, size), Image.Resampling.LANCZOS, box)
    return np.asarray(picture)


def to_range(pixels: Tensor) -> Tensor:
    """uint8 0..255 -> float -1..1."""
    return pixels.float() / 127.5 - 1
