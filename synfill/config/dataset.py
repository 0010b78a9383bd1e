"""What may be said of the dataset that a command reads: options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from synfill.config.problems import across_fields
from synfill.config.settings import LARGEST, MAX_SEED, Settings, option
from synfill.records import FolderOptions, Shape

FOLDERS = "Folders of image files"


class LongTail(Settings):
    """A long-tailed subset of the real training images.

    Attributes:
        imbalance_factor: The largest class over the smallest.
        type: exp or step, as in LDAM-DRW.
        largest: Images of the largest class; None for images / classes.
    """

    imbalance_factor: float = Field(ge=1, allow_inf_nan=False)
    type: Shape = "exp"
    largest: int | None = Field(None, ge=1, le=LARGEST)


LABEL = option(None, "The class column. Default: the only one that can be it.")
CONFIG = option(None, "The dataset's configuration, where it has several.")
IMAGE = option(None, "The image column, where there are several.")
SEED = option(0, "Decides every random choice. Default: 0.", ge=0, le=MAX_SEED)


class DatasetSettings(Settings):
    """Which dataset is read, and how."""

    source: str = option(
        ".",
        "A folder of images (one subfolder a class, or a table of labels beside them), such a "
        "table itself (.csv, .tsv, .jsonl, .parquet), a Parquet file or folder, a saved dataset, "
        "a Hub id (owner/name or owner/name@revision), or demo. A path wins over an id. Default: "
        "the current folder.",
        is_argument=True,
    )
    split: str | None = option(None, "The training split. Default: train, or the only one.")
    label: str | None = LABEL
    group: tuple[str, ...] = option(
        (), "A group column (a sensitive or spurious attribute); repeatable."
    )
    config: str | None = CONFIG
    image: str | None = IMAGE
    layout: str | None = option(
        None,
        "What the folders below SOURCE name, level by level: class, split, * for neither, or "
        "the name of the one folder that is meant: split/class, '*/class', class/images. Default: "
        "found out and told.",
        panel=FOLDERS,
        metavar="LEVEL/LEVEL/...",
    )
    image_root: str | None = option(
        None,
        "The folder that the file names in a table of labels start from. Default: the table's own.",
        panel=FOLDERS,
        metavar="FOLDER",
    )
    file_column: str | None = option(
        None,
        "The column of a table of labels that names the image files, with or without folder and "
        "extension. Default: the one whose values are files that are there.",
        panel=FOLDERS,
        metavar="COLUMN",
    )

    @field_validator("group", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("source", "image_root", mode="before")
    @classmethod
    def _path_as_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, Path) else value

    @property
    def folder_options(self) -> FolderOptions:
        """How a folder of image files is to be read."""
        return FolderOptions(self.layout, self.image_root, self.file_column)


class SubsetSettings(DatasetSettings):
    """Which dataset is read, or which long-tailed subset of it."""

    long_tail: float | None = option(
        None,
        "Keep only a long-tailed subset of this imbalance factor (LDAM-DRW's formula).",
        metavar="IF",
        ge=1,
        allow_inf_nan=False,
    )
    long_tail_type: Shape = option("exp", "Shape of the long tail. Default: exp.")
    long_tail_max: int | None = option(
        None, "Images of the long tail's largest class.", metavar="N", ge=1, le=LARGEST
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if problems := self._problems_across():
            raise across_fields(problems)
        return self

    def _problems_across(self) -> list[tuple[tuple[str, ...], str]]:
        """Settings that don't fit each other: the names that play a part, and a message."""
        if self.long_tail is not None:
            return []
        given = {
            "long_tail_max": self.long_tail_max is not None,
            "long_tail_type": self.long_tail_type != "exp",
        }
        return [((name, "long_tail"), "needs long_tail") for name in given if given[name]]

    @property
    def tail(self) -> LongTail | None:
        """The long-tailed subset that is kept; None for all images."""
        if self.long_tail is None:
            return None
        return LongTail(
            imbalance_factor=self.long_tail, type=self.long_tail_type, largest=self.long_tail_max
        )


class AnalyzeSettings(SubsetSettings):
    """What `synfill analyze` counts."""

    split: tuple[str, ...] = option(  # type: ignore[assignment]
        (),
        "A split; may be given several times, or 'all': they are shown side by side. Default: "
        "train, or the only one.",
    )
    seed: int = SEED

    @field_validator("split", mode="before")
    @classmethod
    def _several_splits(cls, value: Any) -> Any:
        return () if value is None else (value,) if isinstance(value, str) else value


class InitSettings(DatasetSettings):
    """What `synfill init` looks at, and where it writes."""

    out: Path = option(Path("."), "The folder for the two files.", shows_default=True)
    overwrite: bool = option(False, "Replace files of these names.")


class PredictSettings(Settings):
    """What of a dataset `synfill predict` shows to a classifier, and how that computes."""

    split: str | None = option(
        None, "Of a dataset: the split. Default: test, else train, or the only one."
    )
    label: str | None = LABEL
    config: str | None = CONFIG
    image: str | None = IMAGE
    batch_size: int = option(64, "Images at a time.", ge=1, shows_default=True)
    device: str = option(
        "auto", "Where to compute: auto, cuda, cuda:1, mps, cpu.", shows_default=True
    )
