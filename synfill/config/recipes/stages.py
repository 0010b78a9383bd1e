"""What a recipe may say of a stage: what every kind has, and the keys of the kind `sgd`. Pure."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from synfill.config.components import AUGMENTATIONS, LOSSES, MIXES, SAMPLERS, STAGES
from synfill.config.problems import across_fields
from synfill.config.registry import Chosen, Component, Kinds
from synfill.config.settings import LARGEST

StageData = Literal["real", "synthetic", "real+synthetic"]
OptimizerName = Literal["sgd", "adam", "adamw"]
Schedule = Literal["constant", "cosine", "step"]

EPOCHS_OR_STEPS = "give either epochs or steps"
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._+-]{0,63}$")]
"""A name that becomes a folder: small letters, digits, `.`, `_`, `+` and `-`."""
Alpha = Annotated[float, Field(ge=1e-3, le=1e3)]
Smoothing = Annotated[float, Field(ge=0, lt=1)]


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
    steps: int | None = Field(None, ge=1, le=LARGEST)
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
