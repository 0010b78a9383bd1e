"""What the commands show: data on stdout, notes and progress on stderr."""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

FOLD_ABOVE = 24
BAR_WIDTH = 32
MIN_BAR_WIDTH = 6
NAME_WIDTH = 40
PLAIN_SECONDS = 10.0
"""Seconds between two lines of progress where there is no terminal."""


@dataclass
class Verbosity:
    """How much is said: -v raises it, -q lowers it."""

    verbose: bool = False
    quiet: bool = False


VERBOSITY = Verbosity()


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


def stdout(piped_width: int = 110) -> Console:
    """The console for data.

    Args:
        piped_width: Columns in a file or a pipe, where there is no width to fit.
    """
    width = None if sys.stdout.isatty() else piped_width
    return Console(highlight=False, soft_wrap=False, width=width)


def stderr() -> Console:
    """The console for notes, progress and errors."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def show_error(message: str, hint: str) -> None:
    """One message: what, where; then what to do next."""
    console = stderr()
    console.print(Text.assemble(("error: ", "bold red"), message))
    if hint:
        console.print(Text(hint))


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
    # Names and numbers come first: the bars take what a narrow terminal leaves.
    names = min(NAME_WIDTH, max((cell_len(row.name) for row in rows), default=0))
    numbers = sum(2 + max(7, len(column)) for column in columns)
    bars = max(MIN_BAR_WIDTH, min(BAR_WIDTH, stdout().width - names - numbers - 2))
    table.add_column("", overflow="fold", max_width=NAME_WIDTH)
    for column in columns:
        table.add_column(escape(column), justify="right", style="cyan")
    table.add_column("", no_wrap=True)
    largest = max((row.counts[0] or 0 for row in rows), default=0)
    for index, row in enumerate(rows):
        if len(rows) > FOLD_ABOVE and not unfold:
            if index == FOLD_ABOVE // 2:
                table.add_row(Text(f"... {len(rows) - FOLD_ABOVE:,} more (-v: all)", "dim"))
            if FOLD_ABOVE // 2 <= index < len(rows) - FOLD_ABOVE // 2:
                continue
        shown = ["" if count is None else f"{count:,}" for count in row.counts]
        table.add_row(Text(row.name), *shown, bar(row.counts[0] or 0, largest, bars))
    return table


def figures_table(title: str, columns: Sequence[str], rows: Sequence[tuple[str, ...]]) -> Table:
    """A table of figures: a name, then one value a column."""
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
    for name, *values in rows:
        table.add_row(Text(name), *(Text(value) for value in values))
    return table


def format_duration(seconds: float) -> str:
    """Seconds for a person: 45 s, 12 min, 3.4 h, 2.1 days."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"


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
            self._console.print(Text(f"note: {message}", "dim"))

    def warn(self, message: str) -> None:
        """A yellow line, under -q too."""
        self._console.print(Text.assemble(("warning: ", "bold yellow"), message))

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
        speed = f"{rate:.2f} images/s" if rate is not None else ""
        left = f"{format_duration(seconds_left)} left" if seconds_left is not None else ""
        if self._console.is_terminal:
            shown = [part for part in (speed, left, detail) if part]
            self._live(stage, done, total, "  ".join(shown))
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

    def _live(self, stage: str, done: int, total: int, detail: str) -> None:
        if self._progress is None:
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(BAR_WIDTH),
                MofNCompleteColumn(),
                TextColumn("{task.fields[detail]}", markup=False),
                console=self._console,
                transient=False,
            )
            self._progress.start()
        if stage != self._stage or self._task is None:
            self._task = self._progress.add_task(stage, total=total, detail=detail)
            self._stage = stage
        self._progress.update(self._task, completed=done, total=total, detail=detail)

    def close(self) -> None:
        """End the live line."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
