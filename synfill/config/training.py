"""What a recipe may say: names, defaults and ranges of its keys stand here and nowhere else.

Pure: no file is read, no dataset opened, no torch imported. `recipe.py` reads the YAML and says
where a problem stands; `methods.py` what the methods of a recipe take over from its stages.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from synfill.config.components import AUGMENTATIONS, LOSSES, MIXES, SAMPLERS, STAGES
from synfill.config.layouts import check_layout
from synfill.config.problems import across_fields
from synfill.config.registry import Chosen, Component, Kinds
from synfill.errors import UsageError
from synfill.records import FolderOptions, Shape

StageData = Literal["real", "synthetic", "real+synthetic"]
OptimizerName = Literal["sgd", "adam", "adamw"]
Schedule = Literal["constant", "cosine", "step"]
Precision = Literal["auto", "float32", "bfloat16"]
Storage = Literal["auto", "memory", "stream"]
Tracker = Literal["tensorboard", "wandb"]
OnBadImage = Literal["error", "skip"]
Budget = Literal["steps", "epochs"]

NONE = "none"
"""What a recipe may say instead of null."""
_PERCENT = re.compile(r"[0-9.]+ ?%")
EPOCHS_OR_STEPS = "give either epochs or steps"
MAX_SEED = 2**31 - 1
MAX_COUNT = 2**31 - 1
"""Of images and steps: no number of these is larger, and numpy takes all of them."""
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._+-]{0,63}$")]
"""A name that becomes a folder: small letters, digits, `.`, `_`, `+` and `-`."""
Alpha = Annotated[float, Field(ge=1e-3, le=1e3)]
Smoothing = Annotated[float, Field(ge=0, lt=1)]


class _Keys(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _checked_layout(value: str | None) -> str | None:
    try:
        check_layout(value)
    except UsageError as error:
        raise ValueError(f"{error.message.rstrip('.')}. {error.hint}") from None
    return value


Layout = Annotated[str | None, AfterValidator(_checked_layout)]
"""What each level of folders names: "split/class"."""


class LongTailSettings(_Keys):
    """The long-tailed subset of the real training images.

    Attributes:
        imbalance_factor: The largest class over the smallest.
        type: exp or step, as in LDAM-DRW.
        largest: Images of the largest class; None for images / classes.
    """

    imbalance_factor: float = Field(ge=1, allow_inf_nan=False)
    type: Shape = "exp"
    largest: int | None = Field(None, ge=1, le=MAX_COUNT)


class SyntheticSettings(_Keys):
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


class TestSettings(_Keys):
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


class DataSettings(_Keys):
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
    long_tail: LongTailSettings | None = None
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


class ModelSettings(_Keys):
    """The network.

    Attributes:
        name: resnet20, resnet32, resnet56, ... (6n + 2 layers: the CIFAR ResNets), any classifier
            of torchvision, or timm:NAME.
        pretrained: Start from torchvision's or timm's ImageNet weights.
    """

    name: str = Field(min_length=1)
    pretrained: bool = False


class Stage(Component):
    """What stages of every kind have; a kind has a field `kind` of its own, and may narrow `data`.

    Attributes:
        name: What it is called in the output; None for stage-1, stage-2, ...
        data: Which images it sees.
    """

    name: Name | None = None
    data: str = "real+synthetic"

    @property
    def retrains_classifier(self) -> bool:
        """Whether it trains the last layer alone."""
        return False


class StageSettings(Stage):
    """One stage of training with stochastic gradient descent.

    Its code is in `training.stage.sgd`; its options stand here because how images are sampled,
    how long methods train and what a network must take all go by them.

    Attributes:
        name: What it is called in the output; None for stage-1, stage-2, ...
        data: Which images it sees.
        sampling: Which of them an epoch shows.
        trainable: all; classifier (the last layer; everything else is frozen, BatchNorm's
            statistics too); or patterns of module names ("layer4.*").
        reinit_classifier: Whether the classifier starts from fresh random weights.
        epochs: How long; exactly one of epochs and steps.
        steps: The same in optimizer steps.
        batch_size: Images an optimizer step, over all devices together.
        optimizer: sgd, adam or adamw.
        lr: The learning rate after the warm-up.
        momentum: sgd's; not used by the others.
        nesterov: sgd's.
        weight_decay: Of all parameters.
        schedule: constant; cosine (down to 0); step (times gamma at each milestone).
        milestones: Of step: epochs (steps, where the stage counts in steps) before each drop; one
            below 1 is a share of the stage.
        gamma: Of step: the factor of each drop.
        warmup: Epochs (or steps) of linear warm-up; below 1 a share of the stage.
        label_smoothing: Share of the target that is spread over all classes.
        augment: What is done to each image.
        mix: How the images of a batch are mixed in pairs.
        alpha: Of mix: lambda is drawn from Beta(alpha, alpha).
        loss: What is minimized.
        kind: The kind of stage; each has keys of its own, and those here are sgd's.
    """

    data: StageData = "real+synthetic"
    sampling: Annotated[Component, Chosen(SAMPLERS)] = Field("as-is", validate_default=True)
    trainable: Literal["all", "classifier"] | tuple[str, ...] = "all"
    reinit_classifier: bool = False
    epochs: int | None = Field(None, ge=1, le=1_000_000)
    steps: int | None = Field(None, ge=1, le=MAX_COUNT)
    batch_size: int = Field(128, ge=1, le=1 << 20)
    optimizer: OptimizerName = "sgd"
    lr: float = Field(0.1, gt=0, allow_inf_nan=False)
    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(2e-4, ge=0, allow_inf_nan=False)
    schedule: Schedule = "cosine"
    milestones: tuple[float, ...] = ()
    gamma: float = Field(0.1, gt=0, le=1)
    warmup: float = Field(0, ge=0, allow_inf_nan=False)
    label_smoothing: Smoothing = 0
    augment: Annotated[Component, Chosen(AUGMENTATIONS)] = Field("crop-flip", validate_default=True)
    mix: Annotated[Component, Chosen(MIXES)] = Field("none", validate_default=True)
    alpha: Alpha = 1
    loss: Annotated[Component, Chosen(LOSSES)] = Field("cross-entropy", validate_default=True)
    # Left out where results of earlier versions have none.
    kind: Literal["sgd"] = Field("sgd", exclude_if=lambda kind: kind == "sgd")

    @property
    def retrains_classifier(self) -> bool:
        """Whether it trains the last layer alone."""
        return self.trainable == "classifier"

    def complete(self, component: Component) -> Component:
        """A component of this stage, with the stage's keys for the options that it leaves open."""
        shared = {"alpha": self.alpha, "label_smoothing": self.label_smoothing}
        left = {key: value for key, value in shared.items() if getattr(component, key, 0) is None}
        return component.model_copy(update=left)

    @field_validator("trainable", mode="after")
    @classmethod
    def _something(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if not value:
            raise ValueError("is empty: nothing would be trained")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems: list[tuple[tuple[str, ...], str]] = []
        if (self.epochs is None) == (self.steps is None):
            problems.append((("epochs", "steps"), EPOCHS_OR_STEPS))
        if self.optimizer == "sgd" and self.nesterov and self.momentum == 0:
            message = "nesterov needs a momentum above 0"
            problems.append((("nesterov", "momentum", "optimizer"), message))
        if self.label_smoothing and "label_smoothing" not in type(self.loss).model_fields:
            message = f"the loss {self.loss} has no label smoothing"
            problems.append((("label_smoothing", "loss"), message))
        if self.schedule == "step" and not self.milestones:
            problems.append((("schedule", "milestones"), "step needs milestones"))
        if self.schedule != "step" and self.milestones:
            message = f"milestones belong to schedule: step, not {self.schedule}"
            problems.append((("milestones", "schedule"), message))
        if list(self.milestones) != sorted(set(self.milestones)):
            problems.append((("milestones",), "milestones must ascend"))
        length = self.epochs or self.steps
        where = ("epochs", "steps")
        if length and any(not 0 < self.units(value) < length for value in self.milestones):
            message = f"milestones must lie between 0 and the stage's length of {length}"
            problems.append((("milestones", *where), message))
        if length and self.units(self.warmup) >= length:
            message = f"the warm-up is as long as the stage itself ({length})"
            problems.append((("warmup", *where), message))
        if problems:
            raise across_fields(problems)
        return self

    def units(self, value: float) -> float:
        """A milestone's or the warm-up's length in epochs (steps, if the stage counts in them)."""
        return value * (self.epochs or self.steps or 0) if value < 1 else value


AnyStage = Annotated[StageSettings, Kinds(STAGES, "sgd")]
"""A stage of any kind, which the key `kind` names; the keys are sgd's where there is none."""


class HardwareSettings(_Keys):
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


class Recipe(_Keys):
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
    methods: dict[Name, Annotated[tuple[AnyStage, ...], Field(min_length=1)]] = {}
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
