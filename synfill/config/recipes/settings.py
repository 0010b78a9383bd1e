"""What a recipe may say: names, defaults and ranges of its keys stand here and nowhere else.

Pure: no file is read, no dataset opened, no torch imported. `recipe.py` reads the YAML and says
where a problem stands; `methods.py` what the methods of a recipe take over from its stages.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    field_validator,
    model_validator,
)

from synfill.config.dataset import LongTail
from synfill.config.layouts import check_layout
from synfill.config.problems import across_fields
from synfill.config.recipes.stages import AnyStage, Name
from synfill.config.recipes.stages import Stage as Stage
from synfill.config.recipes.stages import StageSettings as StageSettings
from synfill.config.settings import Settings
from synfill.errors import UsageError
from synfill.records import FolderOptions

Precision = Literal["auto", "float32", "bfloat16"]
Storage = Literal["auto", "memory", "stream"]
Tracker = Literal["tensorboard", "wandb"]
OnBadImage = Literal["error", "skip"]
Budget = Literal["steps", "epochs"]

NONE = "none"
"""What a recipe may say instead of null."""
_PERCENT = re.compile(r"[0-9.]+ ?%")
MAX_SEED = 2**31 - 1


def _checked_layout(value: str | None) -> str | None:
    try:
        check_layout(value)
    except UsageError as error:
        raise ValueError(f"{error.message.rstrip('.')}. {error.hint}") from None
    return value


Layout = Annotated[str | None, AfterValidator(_checked_layout)]
"""What each level of folders names: "split/class"."""


class SyntheticSettings(Settings):
    """Where the synthetic images come from: exactly one of the two.

    Attributes:
        source: A balanced dataset, as `synfill balance` makes it; its synthetic images are used.
        split: Its split; None for train, or the only one.
        config: Its configuration, where it has several.
        balance: Settings of `synfill balance` that make it. The real images (source, split,
            label, long tail, ...) are those of `data`, and so is the seed.
    """

    source: str | None = None
    split: str | None = None
    config: str | None = None
    balance: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        problems: list[tuple[tuple[str, ...], str]] = []
        if (self.source is None) == (self.balance is None):
            message = "give either source (a balanced dataset) or balance (settings that make one)"
            problems.append((("source", "balance"), message))
        if self.balance is not None:
            problems.extend(
                ((key,), "belongs to source; balance makes a dataset of its own")
                for key in ("split", "config")
                if getattr(self, key) is not None
            )
        if problems:
            raise across_fields(problems)
        return self


class TestSettings(Settings):
    """The test images, where they are in another dataset than the training images.

    Attributes:
        source: The dataset.
        split: Its split; None for test, or the only one.
        config: Its configuration, where it has several.
        layout: As in `data`.
        image_root: As in `data`.
        file_column: As in `data`.
    """

    source: str
    split: str | None = None
    config: str | None = None
    layout: Layout = None
    image_root: str | None = None
    file_column: str | None = None

    @property
    def folder_options(self) -> FolderOptions:
        """How a folder of image files is to be read."""
        return FolderOptions(self.layout, self.image_root, self.file_column)


class DataSettings(Settings):
    """The images.

    Attributes:
        train: The training dataset: a folder, Parquet, a Hub id, or demo.
        config: Its configuration, where it has several.
        split: Its training split; None for train, or the only one.
        image: The image column, where there are several.
        layout: What each level of folders names, for a folder of image files: split/class.
        image_root: The folder that the file names in a table of labels start from.
        file_column: The column of a table of labels that names the image files.
        label: The class column; None for the only one that can be it.
        group: Group columns (a sensitive or spurious attribute).
        long_tail: Keep only a long-tailed subset of the real training images.
        synthetic: "auto": the images that the training dataset itself marks as synthetic (there
            are some if `synfill balance` made it). "none": without any. Or where they come from.
        validation: A split's name; or a share of each class of the real training images, which
            is taken away from them; or None.
        test: The test split's name, or another dataset.
        image_size: Side of the images in pixels; None for the images' own.
        seed: Chooses the long tail's images and the validation share, and seeds the generator.
        on_bad_image: Whether an image that can't be read is an error, or left out and listed in
            OUT/skipped.csv.
        storage: memory holds all images decoded; stream decodes them anew each epoch in worker
            processes; auto takes memory where they fit. The results are the same.
        workers: Worker processes of `stream`; None for one a processor.
    """

    train: str
    config: str | None = None
    split: str | None = None
    image: str | None = None
    layout: Layout = None
    image_root: str | None = None
    file_column: str | None = None
    label: str | None = None
    group: tuple[str, ...] = ()
    long_tail: LongTail | None = None
    synthetic: Literal["auto", "none"] | SyntheticSettings = "auto"
    validation: str | float | None = None
    test: str | TestSettings = "test"
    image_size: int | None = Field(None, ge=8, le=4096)
    seed: int = Field(0, ge=0, le=MAX_SEED)
    on_bad_image: OnBadImage = "error"
    storage: Storage = "auto"
    workers: int | None = Field(None, ge=1, le=256)

    @field_validator("group", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        if value in (None, NONE):
            return ()
        return (value,) if isinstance(value, str) else value

    @field_validator("validation", mode="before")
    @classmethod
    def _or_none(cls, value: Any) -> Any:
        return None if value == NONE else value

    @field_validator("group", mode="after")
    @classmethod
    def _each_column_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("each column once")
        return value

    @field_validator("long_tail", mode="before")
    @classmethod
    def _only_the_factor(cls, value: Any) -> Any:
        if value == NONE:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            return value
        return {"imbalance_factor": value}

    @field_validator("synthetic", mode="before")
    @classmethod
    def _only_the_source(cls, value: Any) -> Any:
        if value is None:
            return "none"
        is_source = isinstance(value, str) and value not in ("auto", "none")
        return {"source": value} if is_source else value

    @field_validator("validation", mode="after")
    @classmethod
    def _a_share(cls, value: str | float | None) -> str | float | None:
        if isinstance(value, float) and not 0 < value < 1:
            raise ValueError("a share of the training images lies between 0 and 1")
        if isinstance(value, str) and _PERCENT.fullmatch(value):
            raise ValueError(f"a share is written as a number between 0 and 1, not as {value}")
        return value

    @property
    def folder_options(self) -> FolderOptions:
        """How a folder of image files is to be read."""
        return FolderOptions(self.layout, self.image_root, self.file_column)

    @model_validator(mode="after")
    def _groups_beside_classes(self) -> Self:
        if self.label in self.group:
            message = f"'{self.label}' is the class column (data.label)"
            raise across_fields([(("group", "label"), message)])
        return self


class ModelSettings(Settings):
    """The network.

    Attributes:
        name: resnet20, resnet32, resnet56, ... (6n + 2 layers: the CIFAR ResNets), any classifier
            of torchvision, or timm:NAME.
        pretrained: Start from torchvision's or timm's ImageNet weights.
    """

    name: str = Field(min_length=1)
    pretrained: bool = False


class HardwareSettings(Settings):
    """How it is computed.

    Attributes:
        precision: auto: bfloat16 on a GPU that has it, else float32.
        channels_last: Whether images are laid out channels-last; None for where it is faster.
        compile: Compile the network with torch.compile.
        gradient_accumulation: Parts into which each device's share of a batch is cut, where
            memory is short.
        trackers: Where the history goes beside history.jsonl.
    """

    precision: Precision = "auto"
    channels_last: bool | None = None
    compile: bool = False
    gradient_accumulation: int = Field(1, ge=1, le=1 << 20)
    trackers: tuple[Tracker, ...] = ()


class Recipe(Settings):
    """A whole recipe, checked.

    Attributes:
        name: What it is called.
        seeds: One training run for each; they are averaged over.
        data: The images.
        model: The network; its name alone will do.
        stages: The stages of the recipe itself, in order.
        methods: Named lists of stages for comparisons. What a stage leaves out is as in the
            recipe's stage of the same position.
        compare: The methods that are run instead of the recipe's own stages, if any.
        budget: How long the methods of a comparison train. steps: all take as many optimizer
            steps as the recipe's own stages do on their own images (an epoch of any method counts
            as many steps as one of the recipe's stage of the same position). epochs: each makes
            its epochs over its own images, as published protocols have it, so that a method that
            sees fewer images takes fewer steps.
        hardware: How it is computed.
    """

    name: Name
    seeds: tuple[Annotated[int, Field(ge=0, le=MAX_SEED)], ...] = Field((0,), min_length=1)
    data: DataSettings
    model: ModelSettings
    stages: tuple[AnyStage, ...] = Field(min_length=1)
    methods: dict[Name, Annotated[tuple[AnyStage, ...], Field(min_length=1)]] = Field({})
    compare: tuple[str, ...] = ()
    budget: Budget = "steps"
    hardware: HardwareSettings = HardwareSettings.model_validate({})

    @field_validator("model", mode="before")
    @classmethod
    def _only_the_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @field_validator("seeds", mode="after")
    @classmethod
    def _each_once(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) != len(value):
            raise ValueError("each seed once")
        return value
