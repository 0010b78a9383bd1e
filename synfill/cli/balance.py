"""`synfill balance`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from synfill.cli.options import OptionsOf
from synfill.cli.output import VERBOSITY, ConsoleReporter, Row, counts_table, say, stdout
from synfill.config.balance import BalanceSettings
from synfill.records import JsonObject

if TYPE_CHECKING:
    from synfill.balancing.result import BalanceResult


def balance(
    *,
    settings: Annotated[
        str | None,
        typer.Option(
            help="A YAML file in which every option can stand, or the name of a shipped recipe. "
            "The command line comes first.",
            metavar="FILE",
        ),
    ] = None,
    given: Annotated[JsonObject, OptionsOf(BalanceSettings)],
) -> None:
    """Make the missing images of thin classes or cells, and write the balanced dataset.

    A run that was stopped goes on with the same command.

    Example: [bold]synfill balance photos --target uniform --model sdxl-turbo[/bold]
    """
    from synfill.balancing.run import run_balance
    from synfill.balancing.settings import make_settings, read_settings, setting_lines

    values, where, of_file = given, "The command line", {}
    if settings is not None:
        values, where = read_settings(settings) | given, f"{settings} with the command line"
        of_file = {key: n for key, n in setting_lines(settings).items() if key not in given}
    checked = make_settings(values, where, of_file)
    with ConsoleReporter() as reporter:
        result = run_balance(checked, reporter)
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
