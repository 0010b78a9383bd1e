"""`synfill balance`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from synfill.cli.app import Quiet, Verbose, app, set_verbosity
from synfill.cli.options import (
    CommitMessageOption,
    ConfigOption,
    CreatePrOption,
    FileColumnOption,
    GroupOption,
    ImageOption,
    ImageRootOption,
    LabelOption,
    LayoutOption,
    LongTailMaxOption,
    LongTailOption,
    LongTailTypeOption,
    PrivateOption,
    SeedOption,
    SourceArgument,
)
from synfill.cli.output import VERBOSITY, ConsoleReporter, Row, counts_table, say, stdout

if TYPE_CHECKING:
    from synfill.balancing.result import BalanceResult

_WHAT = "What is balanced"
_PROMPTS = "Prompts"
_MODEL = "The generator"
_OUTPUT = "The result"
_HUB = "The Hugging Face Hub"
# Every default stands in BalanceSettings; here None tells that an option was not given, so that
# a settings file may fill it.


@app.command()
def balance(
    source: SourceArgument = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The output folder. Default: SOURCE-balanced beside a local source, "
            "./NAME-balanced otherwise.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    settings: Annotated[
        str | None,
        typer.Option(
            help="A YAML file in which every option can stand, or the name of a shipped recipe. "
            "The command line comes first.",
            metavar="FILE",
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="The split to balance. Default: train, or the only one.")
    ] = None,
    label: LabelOption = None,
    group: GroupOption = None,
    config: ConfigOption = None,
    image: ImageOption = None,
    layout: LayoutOption = None,
    image_root: ImageRootOption = None,
    file_column: FileColumnOption = None,
    long_tail: LongTailOption = None,
    long_tail_type: LongTailTypeOption = None,
    long_tail_max: LongTailMaxOption = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="uniform (default), uniform:N, median, mean, ratio:R (at least R x the largest), "
            "imbalance-factor:F, present (with --replace), or a YAML/JSON file {class: count}.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            help="class (default): balances classes without knowledge of the groups; synthetic "
            "images have null groups then. class+GROUP[+GROUP]: balances cells.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    observed_only: Annotated[
        bool | None,
        typer.Option(
            "--observed-only", help="Don't fill cells that never occur.", rich_help_panel=_WHAT
        ),
    ] = None,
    cap: Annotated[
        int | None,
        typer.Option(
            help="Keep at most N real images of a class or cell, chosen at random.",
            metavar="N",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            help="Make at most N images, always for the emptiest class or cell.",
            metavar="N",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    replace: Annotated[
        str | None,
        typer.Option(
            help="For studies: this share of every class's real images gives way to synthetic "
            "ones.",
            metavar="FRACTION",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    replace_class: Annotated[
        list[str] | None,
        typer.Option(
            help="For studies: only this class's real images give way, wholly or by the share; "
            "repeatable.",
            metavar="NAME[=FRACTION]",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option(
            help="A prompt with {label}, {article}, group columns, {modifier}; several take "
            "turns. Default: a photo of {article} {label}",
            rich_help_panel=_PROMPTS,
        ),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            help="A YAML file with words for classes and groups, prompts per class, a negative "
            "prompt, modifiers.",
            metavar="FILE",
            rich_help_panel=_PROMPTS,
        ),
    ] = None,
    modifiers: Annotated[
        list[str] | None,
        typer.Option(
            help="default (20 photographic styles and settings), or a list of your own with "
            "commas.",
            rich_help_panel=_PROMPTS,
        ),
    ] = None,
    negative_prompt: Annotated[
        str | None, typer.Option(help="What images must not show.", rich_help_panel=_PROMPTS)
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="sd15 (default), sdxl, sdxl-turbo, sd35-medium, sd35-large, sd35-turbo, "
            "flux-dev, flux-schnell, pixart, sana, demo; any Hub id or folder of a diffusers "
            "pipeline.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="The model's revision.", rich_help_panel=_MODEL)
    ] = None,
    lora: Annotated[
        str | None,
        typer.Option(help="A LoRA, as a file, folder or Hub id.", rich_help_panel=_MODEL),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(help="Denoising steps. Default: the model's.", rich_help_panel=_MODEL),
    ] = None,
    guidance_scale: Annotated[
        float | None,
        typer.Option(help="Guidance scale. Default: the model's.", rich_help_panel=_MODEL),
    ] = None,
    guidance_interval: Annotated[
        str | None,
        typer.Option(
            help="Guidance only between these shares of the steps, as 0.2,0.8: faster, and more "
            "varied images. Stable Diffusion and SDXL. Default: in all steps.",
            metavar="START,STOP",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            help="Pixels at which images are generated, before they take the real ones' size. "
            "Default: the model's.",
            metavar="N|WxH",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            help="ddim, dpm++, euler, euler-a, unipc, ... Default: the model's.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            help="auto (default: bfloat16 on a GPU, float32 on a CPU), float32, bfloat16, float16.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="auto (default), cuda, cuda:1, mps, cpu.", rich_help_panel=_MODEL),
    ] = None,
    batch_size: Annotated[
        str | None,
        typer.Option(
            help="Images made at a time: auto (default) or a number.",
            metavar="auto|N",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    offload: Annotated[
        bool | None,
        typer.Option(
            "--offload",
            help="Keep on the GPU only the part of the model at work: for small cards.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    compile: Annotated[
        bool | None,
        typer.Option(
            "--compile",
            help="Compile the denoiser: minutes at the start, faster after.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    max_tries: Annotated[
        int | None,
        typer.Option(
            help="Tries an image before it is given up. Default: 3.", rich_help_panel=_MODEL
        ),
    ] = None,
    seed: SeedOption = None,
    format: Annotated[
        Literal["parquet", "imagefolder"] | None,
        typer.Option(
            help="Default: parquet. In an imagefolder class types become text.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    on_bad_image: Annotated[
        Literal["error", "skip"] | None,
        typer.Option(
            help="Default: error. With skip images that can't be read are left out and listed.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    rename_columns: Annotated[
        bool | None,
        typer.Option(
            "--rename-columns",
            help="Call the added columns synfill_synthetic, synfill_prompt, ...",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    overwrite: Annotated[
        bool | None,
        typer.Option(
            "--overwrite",
            help="Replace an earlier dataset in the output folder; other files there stay.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    dry_run: Annotated[
        bool | None,
        typer.Option(
            "--dry-run",
            help="Show what would be made, what it takes, and the prompts; write only the plan.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    push_to_hub: Annotated[
        bool | None,
        typer.Option(
            "--push-to-hub",
            help="Push the result to the Hub. Whether that can be done is asked before the start.",
            rich_help_panel=_HUB,
        ),
    ] = None,
    repo_id: Annotated[
        str | None,
        typer.Option(
            help="Where to. Default: USER/SOURCE-balanced.",
            metavar="OWNER/NAME",
            rich_help_panel=_HUB,
        ),
    ] = None,
    private: PrivateOption = None,
    hub_revision: Annotated[
        str | None,
        typer.Option(
            help="The branch there, made if it isn't there. Default: main.", rich_help_panel=_HUB
        ),
    ] = None,
    create_pr: CreatePrOption = None,
    commit_message: CommitMessageOption = None,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Make the missing images of thin classes or cells, and write the balanced dataset.

    A run that was stopped goes on with the same command.

    Example: [bold]synfill balance photos --target uniform --model sdxl-turbo[/bold]
    """
    given = {name: value for name, value in locals().items() if value is not None}
    from synfill.balancing.run import run_balance
    from synfill.config.balance import make_settings, read_settings, setting_lines

    set_verbosity(verbose, quiet)
    for name in ("settings", "verbose", "quiet"):
        given.pop(name, None)
    values: dict[str, Any] = read_settings(settings) if settings is not None else {}
    where = "The command line" if settings is None else f"{settings} with the command line"
    lines = setting_lines(settings) if settings is not None else {}
    of_file = {key: line for key, line in lines.items() if key not in given}
    checked = make_settings(values | given, where, of_file)
    reporter = ConsoleReporter()
    try:
        result = run_balance(checked, reporter)
    finally:
        reporter.close()
    show(result)


def show(result: BalanceResult) -> None:
    """Print what a run did, or would do."""
    console = stdout()
    columns = (
        ["present", "wanted", "to make"]
        if result.dry_run
        else ["now", "real before", "real now", "synthetic"]
    )
    rows = [
        Row(
            count.words or count.name,
            [count.before + count.earlier, count.wanted, count.synthetic]
            if result.dry_run
            else [
                count.total,
                count.before,
                count.kept,
                count.earlier + count.synthetic,
            ],
        )
        for count in result.counts
    ]
    if not VERBOSITY.quiet:
        title = f"Images per {'cell' if result.by_groups else 'class'} ({result.split})"
        console.print(counts_table(title, columns, rows, VERBOSITY.verbose))
        console.print()
    for line in result.summary():
        say(line)
