"""The settings of a `balance` run: names, defaults and ranges stand here and nowhere else.

The command line, a settings file and the Python API all fill this one model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, Self, TypedDict

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from synfill.balancing.checks import text_problems
from synfill.balancing.target import LARGEST, MAX_SEED, parse_number
from synfill.config.problems import across_fields, find_problems
from synfill.config.recipe import read_recipe
from synfill.config.shipped import find_recipe
from synfill.config.training import DataSettings, SyntheticSettings
from synfill.config.yaml import read_yaml, read_yaml_document
from synfill.errors import UsageError
from synfill.records import FolderOptions, JsonObject, Shape

OutputFormat = Literal["parquet", "imagefolder"]
OnBadImage = Literal["error", "skip"]
DataType = Literal["auto", "float32", "bfloat16", "float16"]
MAX_SIDE = 8192
MAX_BATCH = 4096
PUSHING = ("push_to_hub", "repo_id", "private", "hub_revision", "create_pr", "commit_message")
"""The settings of the push to the Hub, which is no part of the run's identity."""


class BalanceSettings(BaseModel):
    """Everything that decides what a run makes and where.

    Attributes are named as the options of `synfill balance`; its help says what they do.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = "."
    out: Path | None = None
    config: str | None = None
    split: str | None = None
    image: str | None = None
    layout: str | None = None
    image_root: str | None = None
    file_column: str | None = None
    label: str | None = None
    group: tuple[str, ...] = ()
    long_tail: float | None = Field(None, ge=1, allow_inf_nan=False)
    long_tail_type: Shape = "exp"
    long_tail_max: int | None = Field(None, ge=1, le=LARGEST)

    target: str | dict[str, Any] | None = None
    by: str = "class"
    observed_only: bool = False
    cap: int | None = Field(None, ge=1, le=LARGEST)
    limit: int | None = Field(None, ge=1, le=LARGEST)
    replace: str | None = None
    replace_class: tuple[str, ...] = ()

    prompt: tuple[str, ...] = ()
    prompts: Path | dict[str, Any] | None = None
    modifiers: tuple[str, ...] = ()
    negative_prompt: str | None = None

    model: str = "sd15"
    revision: str | None = None
    lora: str | None = None
    steps: int | None = Field(None, ge=1, le=1000)
    guidance_scale: float | None = Field(None, ge=0, le=1000, allow_inf_nan=False)
    guidance_interval: str | None = None
    size: str | None = None
    scheduler: str | None = None
    dtype: DataType = "auto"
    device: str = "auto"
    batch_size: int | None = Field(None, ge=1, le=MAX_BATCH)
    seed: int = Field(0, ge=0, le=MAX_SEED)
    max_tries: int = Field(3, ge=1, le=100)
    offload: bool = False
    compile: bool = False

    format: OutputFormat = "parquet"
    on_bad_image: OnBadImage = "error"
    rename_columns: bool = False
    overwrite: bool = False
    dry_run: bool = False

    push_to_hub: bool = False
    repo_id: str | None = None
    private: bool | None = None
    hub_revision: str | None = None
    create_pr: bool = False
    commit_message: str | None = None

    @field_validator("group", "replace_class", "prompt", "modifiers", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("guidance_interval", mode="before")
    @classmethod
    def _joined(cls, value: Any) -> Any:
        return ",".join(map(str, value)) if isinstance(value, list | tuple) else value

    @field_validator("replace", "size", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int | float) else value

    @field_validator("image_root", mode="before")
    @classmethod
    def _path_as_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, Path) else value

    @field_validator("dtype", mode="before")
    @classmethod
    def _long_name(cls, value: Any) -> Any:
        short = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
        return short.get(value, value) if isinstance(value, str) else value

    @field_validator("batch_size", mode="before")
    @classmethod
    def _auto(cls, value: Any) -> Any:
        return None if value == "auto" else value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems: list[tuple[tuple[str, ...], str]] = []
        if self.long_tail is None:
            if self.long_tail_max is not None:
                problems.append((("long_tail_max", "long_tail"), "needs long_tail"))
            if self.long_tail_type == "step":
                problems.append((("long_tail_type", "long_tail"), "needs long_tail"))
        if not self.push_to_hub:
            given = [name for name in PUSHING if getattr(self, name)]
            problems.extend(((name, "push_to_hub"), "needs push_to_hub") for name in given)
        if problems:
            raise across_fields(problems)
        return self

    @property
    def folder_options(self) -> FolderOptions:
        """How a folder of image files is to be read."""
        return FolderOptions(self.layout, self.image_root, self.file_column)

    @property
    def pixels(self) -> tuple[int, int] | None:
        """`size` as (width, height); None for the model's own.

        Raises:
            UsageError: It is neither N nor WxH.
        """
        if self.size is None:
            return None
        found = re.fullmatch(r"([0-9]{1,9})(?:[xX]([0-9]{1,9}))?", self.size)
        if found is None:
            raise UsageError(f"--size takes pixels, as 512 or 768x512, not '{self.size}'.")
        size = int(found[1]), int(found[2] or found[1])
        if max(size) > MAX_SIDE:
            raise UsageError(
                f"--size {self.size} is more than any model makes or memory holds ({MAX_SIDE})."
            )
        return size

    @property
    def guided_shares(self) -> tuple[float, float] | None:
        """`guidance_interval` as (start, stop); None for guidance in every step.

        Raises:
            UsageError: It isn't two numbers.
        """
        if self.guidance_interval is None:
            return None
        try:
            start, stop = map(float, self.guidance_interval.split(","))
        except ValueError:
            raise UsageError(
                "--guidance-interval takes two shares of the steps, START,STOP, not "
                f"'{self.guidance_interval}'.",
                "For example --guidance-interval 0.2,0.8",
            ) from None
        return start, stop

    @property
    def by_groups(self) -> tuple[str, ...]:
        """The group columns that cells are made of; empty for `--by class`.

        Raises:
            UsageError: `by` isn't "class" or "class+GROUP[+GROUP]".
        """
        first, *groups = self.by.split("+")
        if first != "class" or not all(groups) or len(set(groups)) != len(groups):
            raise UsageError(
                f"--by '{self.by}' is neither 'class' nor 'class+GROUP'.",
                "For example --by class, or --by class+gender.",
            )
        return tuple(groups)

    @property
    def group_columns(self) -> tuple[str, ...]:
        """All group columns: those of `group` and those of `by`, each once."""
        return tuple(dict.fromkeys([*self.group, *self.by_groups]))

    def replaced_shares(self) -> tuple[Fraction, dict[str, Fraction]]:
        """What `replace` and `replace_class` ask for: the share of all classes, and of single ones.

        Raises:
            UsageError: A share isn't a number from 0 to 1.
        """
        every = _share(self.replace, "--replace ") if self.replace is not None else Fraction(0)
        single = {}
        for text in self.replace_class:
            name, equals, share = text.rpartition("=")
            if equals and _is_number(share):
                single[name] = _share(share, f"--replace-class {name}=")
            else:
                single[text] = Fraction(1)
        return every, single


def _is_number(text: str) -> bool:
    try:
        parse_number(text)
    except ValueError:
        return False
    return True


def _share(text: str, option: str) -> Fraction:
    """Read a share; `option` is all that stands before the number on the command line."""
    if not _is_number(text) or not 0 <= parse_number(text) <= 1:
        raise UsageError(
            f"{option.rstrip('= ')} takes a share from 0 to 1, not '{text}'.",
            f"For example {option}0.5",
        )
    return parse_number(text)


class BalanceOptions(TypedDict, total=False):
    """The settings as keyword arguments of `synfill.balance`; see `BalanceSettings`."""

    out: Path | str | None
    config: str | None
    split: str | None
    image: str | None
    layout: str | None
    image_root: str | Path | None
    file_column: str | None
    label: str | None
    group: str | tuple[str, ...] | list[str]
    long_tail: float | None
    long_tail_type: Shape
    long_tail_max: int | None
    target: str | dict[str, Any] | None
    by: str
    observed_only: bool
    cap: int | None
    limit: int | None
    replace: str | float | None
    replace_class: str | tuple[str, ...] | list[str]
    prompt: str | tuple[str, ...] | list[str]
    prompts: Path | str | dict[str, Any] | None
    modifiers: str | tuple[str, ...] | list[str]
    negative_prompt: str | None
    model: str
    revision: str | None
    lora: str | None
    steps: int | None
    guidance_scale: float | None
    guidance_interval: str | tuple[float, float] | list[float] | None
    size: str | int | None
    scheduler: str | None
    dtype: DataType
    device: str
    batch_size: int | Literal["auto"] | None
    seed: int
    max_tries: int
    offload: bool
    compile: bool
    format: OutputFormat
    on_bad_image: OnBadImage
    rename_columns: bool
    overwrite: bool
    dry_run: bool
    push_to_hub: bool
    repo_id: str | None
    private: bool | None
    hub_revision: str | None
    create_pr: bool
    commit_message: str | None


def make_settings(
    values: JsonObject, where: str, lines: Mapping[str, int] | None = None
) -> BalanceSettings:
    """Check settings as a whole: every problem is told at once.

    Args:
        values: The settings by name.
        where: Where they stand, for the message ("settings.yaml", "the command line").
        lines: The lines of those that stand in a file.

    Raises:
        UsageError: A name is unknown (the nearest right one is named) or a value not of its kind.
    """
    if problems := balance_problems(values):
        places = {key: f" (line {line})" for key, line in (lines or {}).items()}
        told = (
            f"  {key}{places.get(key.partition('.')[0], '')}: {message}" if key else f"  {message}"
            for key, message in problems
        )
        raise UsageError(
            f"{where} can't be used:\n" + "\n".join(told),
            "synfill balance --help lists all options.",
        )
    return BalanceSettings.model_validate(values)


def balance_problems(values: JsonObject) -> list[tuple[str, str]]:
    """All that is wrong with settings: a key and a message for each problem."""
    found = find_problems(BalanceSettings, values)
    problems = [(".".join(problem.path), problem.message) for problem in found]
    broken = {problem.path[0] for problem in found if problem.path}
    rest = {key: value for key, value in values.items() if str(key) not in broken}
    try:
        settings = BalanceSettings.model_validate(rest)
    except ValidationError:
        return problems  # what is left makes no sense without what is broken
    told = [(key, message) for key, message in text_problems(settings) if key not in broken]
    return problems + told


def read_settings(name: str) -> JsonObject:
    """Read a settings file, or the shipped recipe of that name.

    The settings stand at the top, dashes or underscores in their names as on the command line. Of
    a training recipe they are its `data.synthetic.balance`, with the real images of its `data`.

    Raises:
        UsageError: There is no such file, it doesn't hold settings, or the recipe is wrong.
    """
    path = find_recipe(name)
    content = read_yaml(path, "a settings file")
    if not isinstance(content, dict):
        raise UsageError(f"{path} holds no settings.", "For example:\n  target: uniform\n  seed: 1")
    if "data" not in content and "stages" not in content:
        return {str(key).replace("-", "_"): value for key, value in content.items()}
    settings = settings_of_recipe(read_recipe(name, check_balance=balance_problems).data)
    if settings is None:
        raise UsageError(
            f"{path} is a training recipe that makes no balanced dataset.",
            "Such a recipe has a section data.synthetic.balance: synfill recipes help "
            "data.synthetic.balance says what it is.",
        )
    return settings


def setting_lines(name: str) -> dict[str, int]:
    """The lines of the settings that stand at the top of a file; see `read_settings`."""
    found = read_yaml_document(find_recipe(name), "a settings file").lines
    return {path[0].replace("-", "_"): line for path, line in found.items() if len(path) == 1}


def settings_of_recipe(data: DataSettings) -> JsonObject | None:
    """The settings that make a recipe's balanced dataset; None if the recipe makes none.

    Only what the recipe says is in them: `out` and the rest have their defaults.
    """
    if not isinstance(data.synthetic, SyntheticSettings) or data.synthetic.balance is None:
        return None
    tail = data.long_tail
    images = {
        "source": data.train,
        "config": data.config,
        "split": data.split,
        "image": data.image,
        "layout": data.layout,
        "image_root": data.image_root,
        "file_column": data.file_column,
        "label": data.label,
        "group": data.group or None,
        "long_tail": tail.imbalance_factor if tail else None,
        "long_tail_type": tail.type if tail else None,
        "long_tail_max": tail.largest if tail else None,
        "seed": data.seed,
        "on_bad_image": data.on_bad_image,
    }
    given = {key: value for key, value in images.items() if value is not None}
    return data.synthetic.balance | given
