"""What is known of a dataset -> a recipe and a prompts file to begin with, as text. Pure."""

from __future__ import annotations

import json
import re
import shlex
import unicodedata
from dataclasses import dataclass

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
        **{f"--{key.replace('_', '-')}": value for key, value in _reading(facts).items()},
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
    unclear = dict(facts.unclear)
    classes = unclear.pop("classes", [])
    lines = [
        "# Words for the classes and groups, and the prompts. See what they make of it:",
        "#",
        f"#   {dry_run(facts, path)}",
        "#",
        f"# {shell(recipe)} names this file. Lines that begin with # say nothing: take the # away.",
        "",
    ]
    lines.append("classes:")
    if classes:
        lines.append("  # To a text encoder these names say nothing: images would show anything.")
        lines += [f"  # {scalar(name)}: words for it" for name in classes]
    else:
        lines.append("  # name: other words")
    lines += ["", "groups:"] if unclear else []
    for group, names in unclear.items():
        lines.append(f"  # {scalar(group)}:")
        lines += [f"  #   {scalar(name)}: words for it" for name in names]
    lines += [
        "",
        "# Several take turns. {label} and {article} stand for the class, a group column's name in",
        "# braces for its value.",
        "prompts:",
        f"  # - {scalar(facts.template)}",
        "",
        "# What images must not show.",
        "negative_prompt:  # drawing, painting",
        "",
        "# 'default' stands for twenty photographic styles and settings, in turns.",
        "modifiers:  # default",
    ]
    return "\n".join(lines) + "\n"


def write_recipe(facts: Facts, path: str, prompts: str) -> str:
    """The recipe's text.

    Args:
        facts: The dataset.
        path: The file's own path.
        prompts: The prompts file's path.
    """
    lines = [
        f"# Train on {shell(facts.reading.source)}: {counted(facts.images, 'image')} of "
        f"{counted(facts.classes, 'class', 'classes')}.",
        "#",
        f"#   synfill train {shell(path)}",
        *([f"#   synfill train {shell(path)} --compare ce,synaug,synaug-mixup-retrain"]
          if facts.makes_images or facts.has_synthetic else []),
        "#",
        "# What a key may be and means: synfill recipes help",
        "",
        f"name: {scalar(facts.name)}",
        "# One seed is a first look; three (0, 1, 2) or more give intervals.",
        "seeds: [0]",
        "",
        "data:",
        f"  train: {scalar(facts.reading.source)}",
        *(f"  {key}: {scalar(value)}" for key, value in _reading(facts).items()),
        f"  split: {scalar(facts.split)}",
        f"  label: {scalar(facts.label)}",
    ]  # fmt: skip
    if facts.groups:
        lines.append(f"  group: [{', '.join(map(scalar, facts.groups))}]")
    lines += [*_synthetic(facts, prompts), *_tests(facts), *_network(facts)]
    return "\n".join(lines) + "\n"


def _reading(facts: Facts) -> dict[str, str]:
    """How the dataset is read, where the user said so; by the keys of recipes."""
    keys = ("config", "image", "layout", "image_root", "file_column")
    values = {key: getattr(facts.reading, key) for key in keys}
    return {key: value for key, value in values.items() if value is not None}


def _synthetic(facts: Facts, prompts: str) -> list[str]:
    if facts.has_synthetic:
        return ["  # The dataset brings synthetic images of its own.", "  synthetic: auto"]
    if not facts.makes_images:
        return [
            "  # All are as full as the fullest: there is nothing to fill.",
            "  synthetic: none",
        ]
    return [
        f"  # {counted(facts.to_make, 'image')} to make; see what that takes before it begins:",
        f"  #   {dry_run(facts, prompts)}",
        "  # Fewer: limit: 200, or target: ratio:0.2 (a fifth of the largest class).",
        "  synthetic:",
        "    balance:",
        "      target: uniform",
        f"      by: {scalar(facts.by)}",
        f"      model: {scalar(facts.model)}",
        f"      prompts: {scalar(prompts)}",
    ]


def _tests(facts: Facts) -> list[str]:
    lines = []
    if facts.validation is not None:
        lines.append(f"  validation: {scalar(facts.validation)}")
    if facts.test is None:
        return [
            *lines,
            "  # There is no other split to test on. Name a dataset that no training sees.",
            "  test: {source: TEST-IMAGES}",
        ]
    if facts.test != "test":
        lines.append(f"  # There is no split 'test': {_one_line(facts.test)} stands in for it, so "
                     "that it may choose nothing.")  # fmt: skip
    return [*lines, f"  test: {scalar(facts.test)}"]


def _network(facts: Facts) -> list[str]:
    """The image size, the network and the stages: small networks for small images."""
    filled = facts.images + facts.to_make
    is_small = facts.side is not None and facts.side <= SMALL
    side = 32 if is_small else next((s for s in _SIDES if facts.side and facts.side <= s), 224)
    batch = max(8, min(128 if is_small else 64, filled // 8))
    # From nothing about 60 passes over the images; with pretrained weights about 10.
    steps = 60 * filled // batch if is_small else 10 * filled // batch
    steps = max(300, min(20_000, steps))
    network = "resnet32" if is_small else "{name: resnet18, pretrained: true}"
    rate = 0.1 if is_small else 0.01
    seen = ["    data: real"] if not (facts.makes_images or facts.has_synthetic) else []
    known = f"most are {facts.side} pixels" if facts.side else "their own size isn't known"
    return [
        f"  # The images' side in training ({known}).",
        f"  image_size: {side}",
        "",
        *([] if is_small else ["# Pretrained on ImageNet: the weights are fetched once."]),
        f"model: {network}",
        "",
        "# SYNAuG's two stages. Steps, not epochs: every method of a comparison gets as many.",
        "stages:",
        "  - name: network",
        *seen,
        f"    steps: {steps}",
        f"    batch_size: {batch}",
        f"    lr: {rate}",
        "    warmup: 0.05",
        "    augment: crop-flip",
        "    mix: mixup",
        "  - name: classifier",
        *seen,
        "    trainable: classifier",
        f"    steps: {max(50, steps // 10)}",
        f"    batch_size: {batch}",
        f"    lr: {rate / 2}",
        "    augment: crop-flip",
    ]


def _one_line(text: str) -> str:
    return text if text.isprintable() else json.dumps(text)
