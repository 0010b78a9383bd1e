"""What is known of a dataset -> a recipe and a prompts file to begin with, as text.

Their words are in templates.
"""

from __future__ import annotations

import json
import re
import shlex
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from synfill.config.dataset import DatasetSettings
from synfill.config.yaml import format_yaml
from synfill.wording import counted

SMALL = 40
"""Pixels up to which a CIFAR ResNet suits."""
_SIDES = (64, 128, 224)
_PLAIN = re.compile(r"[^\W\d_](?:[\w .+/-]*[\w.+/-])?")


@dataclass(frozen=True)
class Facts:
    """What the files are written from.

    Attributes:
        name: The recipe's name; see `recipe_name`.
        reading: The dataset and how it is read, as the user said.
        splits: Its splits.
        split: The one to train on.
        label: Its class column.
        groups: Its group columns.
        classes: How many classes.
        images: Images of the training split.
        to_make: Images that an even filling would need.
        side: The usual shorter side of the images, in pixels; None if it isn't known.
        unclear: Names that say nothing to a text encoder: those of classes under "classes", and
            those of each group column.
        template: The prompt that is used by default.
        model: The generator.
        has_synthetic: Whether the dataset brings synthetic images of its own.
    """

    name: str
    reading: DatasetSettings
    splits: tuple[str, ...]
    split: str
    label: str
    groups: tuple[str, ...]
    classes: int
    images: int
    to_make: int
    side: int | None
    unclear: dict[str, list[str]]
    template: str
    model: str
    has_synthetic: bool

    @property
    def makes_images(self) -> bool:
        """Whether there is anything to fill."""
        return self.to_make > 0 and not self.has_synthetic

    @property
    def how_read(self) -> dict[str, str]:
        """How the dataset is read, where the user said so; by the keys of recipes."""
        keys = ("config", "image", "layout", "image_root", "file_column")
        values = {key: getattr(self.reading, key) for key in keys}
        return {key: value for key, value in values.items() if value is not None}

    @property
    def by(self) -> str:
        """What is filled: classes, or cells of the groups."""
        return "+".join(["class", *self.groups])

    @property
    def test(self) -> str | None:
        """The split to test on; None where there is none."""
        others = [split for split in self.splits if split != self.split]
        named = [split for split in ("test", "validation", "val", "valid", "dev", "eval")
                 if split in others]  # fmt: skip
        return next(iter([*named, *others]), None)

    @property
    def validation(self) -> str | None:
        """The split to watch training on; None where the test split is all there is."""
        known = [split for split in self.splits if split in ("validation", "val", "valid", "dev")]
        return next((split for split in known if split not in (self.split, self.test)), None)


def recipe_name(name: str) -> str:
    """A recipe's name for a dataset's: small ASCII letters, digits, `.`, `_`, `+` and `-`."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    plain = re.sub(r"[^a-z0-9._+-]+", "-", plain).strip("-._+")[:48]
    return plain or "dataset"


def scalar(text: str) -> str:
    """A text as it stands in YAML: plain where that means the same, else in quotes."""
    if _PLAIN.fullmatch(text) and format_yaml([text]) == f"- {text}\n":
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())


def shell(text: str) -> str:
    """A text as it is typed in a shell, on one line."""
    return shlex.quote(text) if text.isprintable() else json.dumps(text)


def dry_run(facts: Facts, prompts: str) -> str:
    """The command that shows what would be made."""
    given = {
        **{f"--{key.replace('_', '-')}": value for key, value in facts.how_read.items()},
        "--split": None if facts.split == "train" else facts.split,
        "--label": facts.label,
        "--by": facts.by if facts.groups else None,
        "--model": None if facts.model == "sd15" else facts.model,
        "--prompts": prompts,
    }
    options = (f"{name} {shell(value)}" for name, value in given.items() if value is not None)
    return f"synfill balance {shell(facts.reading.source)} {' '.join(options)} --dry-run"


def write_prompts(facts: Facts, recipe: str, path: str) -> str:
    """The prompts file's text.

    Args:
        facts: The dataset.
        recipe: The recipe's path, for the comments.
        path: The file's own path.
    """
    groups = dict(facts.unclear)
    return _render(
        "prompts.yaml.jinja",
        dry_run=dry_run(facts, path),
        recipe=shell(recipe),
        classes=groups.pop("classes", []),
        groups=groups,
        prompt=facts.template,
    )


def write_recipe(facts: Facts, path: str, prompts: str) -> str:
    """The recipe's text.

    Args:
        facts: The dataset.
        path: The file's own path.
        prompts: The prompts file's path.
    """
    return _render(
        "recipe.yaml.jinja",
        facts=facts,
        path=path,
        prompts=prompts,
        dry_run=dry_run(facts, prompts),
        network=_choose_network(facts),
    )


def _render(template: str, **values: Any) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {
        "scalar": scalar, "shell": shell, "counted": counted, "one_line": _one_line
    }  # fmt: skip
    return environment.get_template(template).render(values)


@dataclass(frozen=True)
class _Network:
    """What a recipe says of its network and stages.

    Attributes:
        is_small: Whether it is one for small images, trained from nothing.
        side: The images' side in training, in pixels.
        batch_size: Images a step.
        steps: Of the first stage.
        lr: The first stage's learning rate.
    """

    is_small: bool
    side: int
    batch_size: int
    steps: int
    lr: float


def _choose_network(facts: Facts) -> _Network:
    """Small networks for small images."""
    filled = facts.images + facts.to_make
    is_small = facts.side is not None and facts.side <= SMALL
    side = 32 if is_small else next((s for s in _SIDES if facts.side and facts.side <= s), 224)
    batch = max(8, min(128 if is_small else 64, filled // 8))
    # From nothing about 60 passes over the images; with pretrained weights about 10.
    steps = 60 * filled // batch if is_small else 10 * filled // batch
    steps = max(300, min(20_000, steps))
    return _Network(is_small, side, batch, steps, 0.1 if is_small else 0.01)


def _one_line(text: str) -> str:
    return text if text.isprintable() else json.dumps(text)
