"""What the commands show: data on stdout, notes and progress on stderr."""

from __future__ import annotations

import json
import os
import re
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, TaskID
from rich.table import Table
from rich.text import Text

from synfill.cli.bars import StageColumn
from synfill.wording import format_speed

FOLD_ABOVE = 24
BAR_WIDTH = 32
MIN_BAR_WIDTH = 6
NAME_WIDTH = 40
MIN_NAME_WIDTH = 12
PIPED_WIDTH = 110
PLAIN_SECONDS = 10.0
"""Seconds between two lines of progress where there is no terminal."""


@dataclass
class Verbosity:
    """How much is said: -v raises it, -q lowers it."""

    verbose: bool = False
    quiet: bool = False


VERBOSITY = Verbosity()


def set_verbosity(verbose: bool, quiet: bool) -> None:
    """Take -v and -q, before the command's name or after it."""
    VERBOSITY.verbose |= verbose
    VERBOSITY.quiet |= quiet
    if VERBOSITY.quiet or not sys.stderr.isatty():
        hide_bars()


def hide_bars() -> None:
    """Keep libraries from drawing progress bars: under -q, and where there is no terminal.

    By their own variables, which they read when they are loaded; those that are loaded are told.
    """
    for name in ("HF_HUB_DISABLE_PROGRESS_BARS", "HF_DATASETS_DISABLE_PROGRESS_BARS"):
        os.environ[name] = "1"
    for library, function in (
        ("huggingface_hub.utils.tqdm", "disable_progress_bars"),
        ("datasets.utils.tqdm", "disable_progress_bars"),
        ("transformers.utils.logging", "disable_progress_bar"),
        ("diffusers.utils.logging", "disable_progress_bar"),
    ):
        if library in sys.modules:
            with warnings.catch_warnings():
                # Said where the variable decides already.
                warnings.simplefilter("ignore")
                vars(sys.modules[library])[function]()


def stdout(piped_width: int | None = None) -> Console:
    """The console for data.

    Args:
        piped_width: Columns in a file or a pipe, where there is no width to fit; None for
            COLUMNS, or 110.
    """
    if sys.stdout.isatty() or (piped_width is None and os.environ.get("COLUMNS")):
        width = None
    else:
        width = piped_width or PIPED_WIDTH
    return Console(highlight=False, soft_wrap=False, width=width)


def stderr() -> Console:
    """The console for notes, progress and errors."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str | Text, console: Console | None = None) -> None:
    """Print a paragraph: wrapped between words on a terminal (or to COLUMNS), else as one line.

    What is longer than a line (a path) stays whole, so that it can be copied.

    Args:
        text: The paragraph; in a string nothing is markup.
        console: Where to; None for stdout.
    """
    console = console or stdout()
    text = Text(text) if isinstance(text, str) else text
    lines = [text]
    if console.is_terminal or os.environ.get("COLUMNS"):
        lines = list(text.divide(_breaks(text.plain, console.width)))
    for line in lines:
        line.rstrip()
        console.print(line, soft_wrap=True)


def _breaks(text: str, width: int) -> list[int]:
    """Where lines of so many columns begin, without the first: never inside a word."""
    starts, column = [], 0
    for found in re.finditer(r"\n|[^\S\n]*\S+[^\S\n]*", text):
        word = found[0]
        if word == "\n":
            starts.append(found.end())
            column = 0
            continue
        if column and column + cell_len(word.rstrip()) > width:
            starts.append(found.start())
            column = 0
        column += cell_len(word)
    return starts


def print_json(content: object) -> None:
    """Print one JSON value; escaped, it is the same JSON in every encoding."""
    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    print(json.dumps(content, indent=2, ensure_ascii=not utf8))


def say_command(line: str) -> None:
    """Print a command as it is typed: what doesn't fit goes on after a backslash."""
    width = stdout().width - 2
    lines: list[str] = []
    for word in line.split(" "):
        if lines and cell_len(lines[-1]) + 1 + cell_len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(f"    {word}" if lines else word)
    say(Text(" \\\n".join(lines), "bold"))


def show_error(message: str, hint: str) -> None:
    """One message: what, where; then what to do next."""
    console = stderr()
    say(Text.assemble(("error: ", "bold red"), message), console)
    if hint:
        say(hint, console)


def bar(images: int, largest: int, width: int) -> Text:
    """A bar of at most `width` blocks; whatever isn't empty has one."""
    blocks = max(round(images / largest * width), 1) if images else 0
    try:
        "█".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return Text("#" * blocks, "blue")
    return Text("█" * blocks, "blue")


@dataclass(frozen=True)
class Row:
    """One line of a table of counts."""

    name: str
    counts: Sequence[int | None]


def counts_table(title: str, columns: Sequence[str], rows: Sequence[Row], unfold: bool) -> Table:
    """A table of counts with a bar for the first column; a long one folds in the middle.

    Args:
        title: What is counted.
        columns: The names of the count columns.
        rows: One a class, group value or cell.
        unfold: Show all rows, however many.
    """
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    # Numbers come first, then names: the bars take what a narrow terminal leaves.
    numbers = sum(2 + max(_widest(rows, k), cell_len(name)) for k, name in enumerate(columns))
    room = stdout().width - numbers
    names = max((cell_len(row.name) for row in rows), default=0)
    names = min(names, NAME_WIDTH, max(MIN_NAME_WIDTH, room - MIN_BAR_WIDTH - 2))
    bars = min(BAR_WIDTH, room - names - 2)
    table.add_column("", overflow="fold", min_width=names, max_width=names)
    for column in columns:
        table.add_column(escape(column), justify="right", style="cyan", no_wrap=True)
    if bars >= MIN_BAR_WIDTH:
        table.add_column("", no_wrap=True)
    largest = max((row.counts[0] or 0 for row in rows), default=0)
    for index, row in enumerate(rows):
        if len(rows) > FOLD_ABOVE and not unfold:
            if index == FOLD_ABOVE // 2:
                table.add_row(Text(f"... {len(rows) - FOLD_ABOVE:,} more (-v: all)", "dim"))
            if FOLD_ABOVE // 2 <= index < len(rows) - FOLD_ABOVE // 2:
                continue
        shown = ["" if count is None else f"{count:,}" for count in row.counts]
        bar_cells = [bar(row.counts[0] or 0, largest, bars)] if bars >= MIN_BAR_WIDTH else []
        table.add_row(Text(row.name), *shown, *bar_cells)
    return table


def _widest(rows: Sequence[Row], column: int) -> int:
    counts = (row.counts[column] for row in rows)
    return max((len(f"{count:,}") for count in counts if count is not None), default=0)


def figures_table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[tuple[str, ...]],
    meanings: Sequence[str] = (),
) -> Table:
    """A table of figures: a name, then one value a column.

    Args:
        title: What is told.
        columns: The titles of the values' columns.
        rows: For each figure its name and its values.
        meanings: What each row means, in a last column; empty for none.
    """
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        show_header=any(columns),
    )
    table.add_column("", overflow="fold")
    for column in columns:
        table.add_column(escape(column), justify="right", style="cyan", overflow="fold")
    if meanings:
        table.add_column("", style="dim")
    for position, (name, *values) in enumerate(rows):
        meant = [Text(meanings[position])] if meanings else []
        table.add_row(Text(name), *(Text(value) for value in values), *meant)
    return table


@dataclass
class ConsoleReporter:
    """Tells a run's progress on stderr: a live line on a terminal, plain lines elsewhere."""

    _progress: Progress | None = None
    _task: TaskID | None = None
    _stage: str = ""
    _last_line: float = 0.0
    _console: Console = field(default_factory=stderr)

    def note(self, message: str) -> None:
        """A dim line, not under -q."""
        if not VERBOSITY.quiet:
            say(Text(f"note: {message}", "dim"), self._console)

    def warn(self, message: str) -> None:
        """A yellow line, under -q too."""
        say(Text.assemble(("warning: ", "bold yellow"), message), self._console)

    def progress(
        self,
        stage: str,
        done: int,
        total: int,
        detail: str = "",
        rate: float | None = None,
        seconds_left: float | None = None,
    ) -> None:
        """Update the live line, or print a plain one every ten seconds."""
        if VERBOSITY.quiet:
            return
        speed, left = format_speed(rate, seconds_left)
        if self._console.is_terminal:
            self._live(stage, done, total, rate=speed, left=left, detail=detail)
            return
        now = time.monotonic()
        if stage == self._stage and now - self._last_line < PLAIN_SECONDS and done < total:
            return
        if stage == self._stage and done >= total and self._last_line == float("inf"):
            return
        # The end of a stage is told once.
        self._stage, self._last_line = stage, float("inf") if done >= total else now
        parts = [f"{stage}: {done:,} of {total:,}", speed, left, detail]
        self._console.print(Text(", ".join(part for part in parts if part)))

    def _live(self, stage: str, done: int, total: int, **shown: Any) -> None:
        if self._progress is None:
            self._progress = Progress(
                StageColumn(self._console.width), console=self._console, transient=False
            )
            self._progress.start()
        if stage != self._stage or self._task is None:
            self._task = self._progress.add_task(stage, total=total, **shown)
            self._stage = stage
        self._progress.update(self._task, completed=done, total=total, **shown)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the live line."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
