"""What is asked of a training run beside its recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import field_validator

from synfill.config.components import METHODS
from synfill.config.push import HUB, PRIVATE
from synfill.config.settings import Settings, option


class TrainSettings(Settings):
    """What is asked of a training run, beside the recipe."""

    recipe: str = option(
        ..., "A recipe file, or the name of one in synfill recipes list.", is_argument=True
    )
    overrides: tuple[str, ...] = option(
        (),
        "Other values for the recipe's keys, e.g. stages.0.epochs=10 model=resnet56.",
        metavar="KEY=VALUE",
        is_argument=True,
    )
    compare: tuple[str, ...] = option(
        (),
        f"Run these methods side by side instead of the recipe's own stages: "
        f"{', '.join(METHODS.names)}, or those that the recipe defines.",
        metavar="METHOD,METHOD,...",
        is_text=True,
    )
    seeds: tuple[int, ...] | None = option(
        None,
        "A training run for each. Default: the recipe's.",
        metavar="SEED,SEED,...",
        is_text=True,
    )
    out: Path | None = option(None, "The output folder. Default: runs/NAME.")
    device: str = option("auto", "auto, cuda, cuda:1, mps, cpu.", shows_default=True)
    overwrite: bool = option(False, "Replace results of other settings in the output folder.")
    push_to_hub: bool = option(
        False,
        "Push the model and its metrics to the Hub. Whether that can be done is asked before the "
        "start.",
        panel=HUB,
    )
    repo_id: str | None = option(
        None, "Where to. Default: USER/RECIPE.", panel=HUB, metavar="OWNER/NAME"
    )
    private: bool | None = PRIVATE

    @field_validator("recipe", mode="before")
    @classmethod
    def _path_as_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, Path) else value

    @field_validator("compare", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        names = value.split(",") if isinstance(value, str) else value
        return tuple(name.strip() if isinstance(name, str) else name for name in names)

    @field_validator("seeds", mode="before")
    @classmethod
    def _numbers(cls, value: Any) -> Any:
        try:
            return tuple(map(int, value.split(","))) if isinstance(value, str) else value
        except ValueError:
            raise ValueError(
                f"takes whole numbers with commas, for example 0,1,2, not '{value}'"
            ) from None
