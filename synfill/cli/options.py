"""Options that several commands have, written once."""

from typing import Annotated, Literal

import typer

_HUB = "The Hugging Face Hub"
_FOLDERS = "Folders of image files"

SourceArgument = Annotated[
    str | None,
    typer.Argument(
        help="A folder of images (one subfolder a class, or a table of labels beside them), such a "
        "table itself (.csv, .tsv, .jsonl, .parquet), a Parquet file or folder, a saved dataset, "
        "a Hub id (owner/name or owner/name@revision), or demo. A path wins over an id. Default: "
        "the current folder.",
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
LayoutOption = Annotated[
    str | None,
    typer.Option(
        help="What the folders below SOURCE name, level by level: class, split, * for neither, or "
        "the name of the one folder that is meant: split/class, '*/class', class/images. Default: "
        "found out and told.",
        metavar="LEVEL/LEVEL/...",
        rich_help_panel=_FOLDERS,
    ),
]
ImageRootOption = Annotated[
    str | None,
    typer.Option(
        help="The folder that the file names in a table of labels start from. Default: the "
        "table's own.",
        metavar="FOLDER",
        rich_help_panel=_FOLDERS,
    ),
]
FileColumnOption = Annotated[
    str | None,
    typer.Option(
        help="The column of a table of labels that names the image files, with or without folder "
        "and extension. Default: the one whose values are files that are there.",
        metavar="COLUMN",
        rich_help_panel=_FOLDERS,
    ),
]
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
