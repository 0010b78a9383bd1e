"""The settings of a `balance` run: names, defaults, ranges and descriptions, here and nowhere else.

The command line, a settings file and the Python API all fill this one model.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import field_validator

from synfill.config.components import CHECKS, ENGINES
from synfill.config.dataset import SEED, SubsetSettings
from synfill.config.generator import GENERATOR, GeneratorSettings
from synfill.config.push import COMMIT_MESSAGE, CREATE_PR, HUB, PRIVATE
from synfill.config.registry import Chosen, Component
from synfill.config.settings import LARGEST, option, parse_number
from synfill.errors import UsageError

OutputFormat = Literal["parquet", "imagefolder"]
OnBadImage = Literal["error", "skip"]
PUSHING = ("push_to_hub", "repo_id", "private", "hub_revision", "create_pr", "commit_message")
"""The settings of the push to the Hub, which is no part of the run's identity."""
WHAT = "What is balanced"
PROMPTS = "Prompts"
RESULT = "The result"


class FillingSettings(SubsetSettings):
    """What is filled up, how far, and with which words."""

    out: Path | None = option(
        None,
        "The output folder. Default: SOURCE-balanced beside a local source, ./NAME-balanced "
        "otherwise.",
        panel=RESULT,
    )
    split: str | None = option(None, "The split to balance. Default: train, or the only one.")
    target: str | dict[str, Any] | None = option(
        None,
        "uniform (default), uniform:N, median, mean, ratio:R (at least R x the largest), "
        "imbalance-factor:F, present (with --replace), or a YAML/JSON file {class: count}.",
        panel=WHAT,
    )
    by: str = option(
        "class",
        "class (default): balances classes without knowledge of the groups; synthetic "
        "images have null groups then. class+GROUP[+GROUP]: balances cells.",
        panel=WHAT,
    )
    observed_only: bool = option(False, "Don't fill cells that never occur.", panel=WHAT)
    cap: int | None = option(
        None,
        "Keep at most N real images of a class or cell, chosen at random.",
        panel=WHAT,
        metavar="N",
        ge=1,
        le=LARGEST,
    )
    limit: int | None = option(
        None,
        "Make at most N images, always for the emptiest class or cell.",
        panel=WHAT,
        metavar="N",
        ge=1,
        le=LARGEST,
    )
    replace: str | None = option(
        None,
        "For studies: this share of every class's real images gives way to synthetic ones.",
        panel=WHAT,
        metavar="FRACTION",
    )
    replace_class: tuple[str, ...] = option(
        (),
        "For studies: only this class's real images give way, wholly or by the share; repeatable.",
        panel=WHAT,
        metavar="NAME[=FRACTION]",
    )
    prompt: tuple[str, ...] = option(
        (),
        "A prompt with {label}, {article}, group columns, {modifier}; several take "
        "turns. Default: a photo of {article} {label}",
        panel=PROMPTS,
    )
    prompts: Path | dict[str, Any] | None = option(
        None,
        "A YAML file with words for classes and groups, prompts per class, a negative "
        "prompt, modifiers.",
        panel=PROMPTS,
        metavar="FILE",
    )
    modifiers: tuple[str, ...] = option(
        (),
        "default (20 photographic styles and settings), or a list of your own with commas.",
        panel=PROMPTS,
    )
    negative_prompt: str | None = option(None, "What images must not show.", panel=PROMPTS)

    @field_validator("replace_class", "prompt", "modifiers", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str | dict) else value

    @field_validator("replace", mode="before")
    @classmethod
    def _number_as_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int | float) else value

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


class BalanceSettings(GeneratorSettings, FillingSettings):
    """Everything that decides what a run makes and where."""

    seed: int = SEED
    max_tries: int = option(
        3, "Tries an image before it is given up. Default: 3.", panel=GENERATOR, ge=1, le=100
    )
    check: tuple[Annotated[Component, Chosen(CHECKS)], ...] = option(
        (),
        "More checks that an image must pass, beside those that are always made: names, or "
        "mappings of a name and options.",
        in_files_only=True,
    )
    engine: Annotated[Component, Chosen(ENGINES)] = option(
        "local",
        "What makes the images, and where. Default: local.",
        in_files_only=True,
        validate_default=True,
    )
    format: OutputFormat = option(
        "parquet", "Default: parquet. In an imagefolder class types become text.", panel=RESULT
    )
    on_bad_image: OnBadImage = option(
        "error",
        "Default: error. With skip images that can't be read are left out and listed.",
        panel=RESULT,
    )
    rename_columns: bool = option(
        False, "Call the added columns synfill_synthetic, synfill_prompt, ...", panel=RESULT
    )
    overwrite: bool = option(
        False,
        "Replace an earlier dataset in the output folder; other files there stay.",
        panel=RESULT,
    )
    dry_run: bool = option(
        False,
        "Show what would be made, what it takes, and the prompts; write only the plan.",
        panel=RESULT,
    )
    push_to_hub: bool = option(
        False,
        "Push the result to the Hub. Whether that can be done is asked before the start.",
        panel=HUB,
    )
    repo_id: str | None = option(
        None, "Where to. Default: USER/SOURCE-balanced.", panel=HUB, metavar="OWNER/NAME"
    )
    private: bool | None = PRIVATE
    hub_revision: str | None = option(
        None, "The branch there, made if it isn't there. Default: main.", panel=HUB
    )
    create_pr: bool = CREATE_PR
    commit_message: str | None = COMMIT_MESSAGE

    @field_validator("check", mode="before")
    @classmethod
    def _one_or_several_checks(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str | dict | Component) else value

    def _problems_across(self) -> list[tuple[tuple[str, ...], str]]:
        problems = super()._problems_across()
        if not self.push_to_hub:
            given = [name for name in PUSHING if getattr(self, name)]
            problems += [((name, "push_to_hub"), "needs push_to_hub") for name in given]
        return problems


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
