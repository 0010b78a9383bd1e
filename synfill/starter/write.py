"""`synfill init`: looks at a dataset, and writes a recipe and a prompts file for it."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from synfill.balancing.deficit import Rules, find_deficit
from synfill.balancing.prompts import PromptBook, PromptWriter
from synfill.balancing.target import Target
from synfill.config.dataset import DatasetSettings, InitSettings
from synfill.data.labels import choose_label, choose_split, read_label_table
from synfill.data.provenance import find_provenance
from synfill.data.source import Source, image_column, open_source
from synfill.errors import UsageError
from synfill.files import atomic_write
from synfill.starter.texts import Facts, recipe_name, write_prompts, write_recipe

_LOOKED_AT = 32
"""Images whose size is looked at."""


@dataclass(frozen=True)
class Started:
    """What was written.

    Attributes:
        recipe: The recipe.
        prompts: The prompts file.
        facts: What they were written from.
    """

    recipe: Path
    prompts: Path
    facts: Facts


def write_start(settings: InitSettings) -> Started:
    """Write OUT/NAME.yaml and OUT/NAME-prompts.yaml.

    Args:
        settings: The dataset, how it is read, and where the files go.

    Raises:
        UsageError: The dataset can't be used so, or a file is there already.
        RunError: The dataset can't be read.
    """
    opened = open_source(
        settings.source,
        config=settings.config,
        image=settings.image,
        folder=settings.folder_options,
    )
    facts, out = find_facts(opened, settings), settings.out
    recipe, prompts = out / f"{facts.name}.yaml", out / f"{facts.name}-prompts.yaml"
    for path in (recipe, prompts):
        if path.is_symlink() or (path.exists() and not (settings.overwrite and path.is_file())):
            raise UsageError(
                f"{path} is there already, and is left as it is.",
                "Add --overwrite to replace it, or name another folder with --out.",
            )
    try:
        for path, text in (
            (prompts, write_prompts(facts, str(recipe), str(prompts))),
            (recipe, write_recipe(facts, str(recipe), str(prompts))),
        ):
            with atomic_write(path) as file:
                file.write(text.encode())
    except (FileExistsError, NotADirectoryError):
        raise UsageError(f"{out} is no folder.", "Name one with --out.") from None
    return Started(recipe, prompts, facts)


def find_facts(opened: Source, settings: DatasetSettings) -> Facts:
    """Look at a dataset: its labels, and the size of some of its images."""
    groups = settings.group
    split = choose_split(opened, settings.split)
    label = choose_label(opened, settings.label, groups)
    if label is None:
        raise UsageError(
            f"The images of {opened.origin.location} have no classes.",
            "Put them in one folder a class, or name the class column with --label.",
        )
    table = read_label_table(opened, split, label, groups)
    if table.label is None or not len(table) or not table.label.values:
        raise UsageError(f"The split '{split}' of {opened.origin.location} has no images.")
    earlier = np.zeros(len(table), dtype=bool)
    deficit, _ = find_deficit(table, table.groups, earlier, Target("uniform"), Rules())
    writer = PromptWriter(PromptBook(), groups, table.label.names)
    return Facts(
        name=recipe_name(opened.origin.name),
        reading=settings,
        splits=opened.splits,
        split=split,
        label=label,
        groups=groups,
        classes=len(table.label.names),
        images=len(table),
        to_make=deficit.total,
        side=_usual_side(opened, split, len(table)),
        unclear=writer.unclear(deficit.cells),
        template=writer.templates[0],
        model="demo" if opened.origin.name == settings.source == "demo" else "sd15",
        has_synthetic=_brings_synthetic(opened),
    )


def _brings_synthetic(opened: Source) -> bool:
    try:
        return bool(find_provenance(opened.columns, rename=False).existing)
    except UsageError:
        # Columns that have such names and are something else.
        return False


def _usual_side(opened: Source, split: str, images: int) -> int | None:
    """The commonest shorter side of the first images; None where they are far, or unreadable."""
    if not opened.origin.is_local and opened.origin.location != "demo":
        return None
    column = image_column(opened.columns).name
    rows = np.arange(min(_LOOKED_AT, images), dtype=np.int64)
    sides: Counter[int] = Counter()
    for _, batch in opened.iter_rows(split, rows):
        for value in batch.column(column).to_pylist():
            try:
                with Image.open(io.BytesIO((value or {}).get("bytes") or b"")) as found:
                    sides[min(found.size)] += 1
            except (OSError, ValueError, Image.DecompressionBombError):
                # It is found, named and counted when the images are used.
                continue
    return sides.most_common(1)[0][0] if sides else None
