"""Options that several commands have, written once."""

from typing import Annotated, Literal

import typer

_HUB = "The Hugging Face Hub"

SourceArgument = Annotated[
    str | None,
    typer.Argument(
        help="A folder of images (one subfolder a class, or a metadata file), a Parquet file or "
        "folder, a saved dataset, a Hub id (owner/name or owner/name@revision), or demo. A path "
        "wins over an id. Default: the current folder.",
        show_default=False,
    ),
]
LabelOption = Annotated[
    str | None, typer.Option(help="The class column. Default: the only one that can be it.")
]
GroupOption = Annotated[
    list[str] | None,
    typer.Option(help="A group column (a sensitive or spurious attribute); repeatable."),
]
SplitOption = Annotated[
    str | None, typer.Option(help="The training split. Default: train, or the only one.")
]
ConfigOption = Annotated[
    str | None, typer.Option(help="The dataset's configuration, where it has several.")
]
ImageOption = Annotated[str | None, typer.Option(help="The image column, where there are several.")]
LongTailOption = Annotated[
    float | None,
    typer.Option(
        help="Keep only a long-tailed subset of this imbalance factor (LDAM-DRW's formula).",
        metavar="IF",
    ),
]
LongTailTypeOption = Annotated[
    Literal["exp", "step"] | None, typer.Option(help="Shape of the long tail. Default: exp.")
]
LongTailMaxOption = Annotated[
    int | None, typer.Option(help="Images of the long tail's largest class.", metavar="N")
]
SeedOption = Annotated[
    int | None,
    typer.Option(help="Decides every random choice. Default: 0."),
]
PrivateOption = Annotated[
    bool | None,
    typer.Option(
        "--private/--public",
        help="Who may see a new repository on the Hub. Default: as its owner's settings say.",
        show_default=False,
        rich_help_panel=_HUB,
    ),
]
CreatePrOption = Annotated[
    bool | None,
    typer.Option(
        "--create-pr",
        help="Open a pull request instead of committing.",
        rich_help_panel=_HUB,
    ),
]
CommitMessageOption = Annotated[
    str | None,
    typer.Option(help="The commit's message.", metavar="TEXT", rich_help_panel=_HUB),
]
