"""One line that says how far a stage is, fitted to the terminal's width."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.progress import ProgressColumn, Task
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

WIDEST = 32
NARROWEST = 6
_GAP = 2
_SHORTEST_NAME = 12


@dataclass(frozen=True)
class Line:
    """What is shown, and how wide the bar is.

    Attributes:
        stage: The stage's name.
        bar: Columns of the bar; 0 for none.
        rest: What stands behind the bar.
    """

    stage: str
    bar: int
    rest: tuple[str, ...]


def fit(stage: str, counts: str, rate: str, left: str, detail: str, width: int) -> Line:
    """Choose what a line of so many columns has room for.

    The counts are always there. What goes first, where there is no room, is the detail, then the
    rate, then the time left; then the bar, and the end of the stage's name.
    """
    choices = ((counts, rate, left, detail), (counts, rate, left), (counts, left), (counts,))
    for chosen in choices:
        rest = tuple(part for part in chosen if part)
        room = width - cell_len(stage) - sum(_GAP + cell_len(part) for part in rest) - _GAP
        if room >= NARROWEST:
            return Line(stage, min(WIDEST, room), rest)
    name = max(_SHORTEST_NAME, width - _GAP - cell_len(counts))
    if cell_len(stage) > name:
        stage = set_cell_size(stage, name - 1) + "…"
    return Line(stage, 0, (counts,))


class StageColumn(ProgressColumn):
    """The whole line of a task; its fields `rate`, `left` and `detail` are text.

    Args:
        width: Columns of the terminal.
    """

    # Never taken from the column's cache: the parts don't fit together otherwise.
    max_refresh = None

    def __init__(self, width: int) -> None:
        super().__init__()
        self._width = width

    def render(self, task: Task) -> Table:
        """The line as it is now."""
        total = task.total or 0
        line = fit(
            task.description,
            f"{task.completed:,.0f}/{total:,.0f}",
            task.fields["rate"],
            task.fields["left"],
            task.fields["detail"],
            self._width,
        )
        grid = Table.grid(padding=(0, _GAP, 0, 0))
        cells: list[Text | ProgressBar] = [Text(line.stage, no_wrap=True)]
        if line.bar:
            cells.append(ProgressBar(total=total, completed=task.completed, width=line.bar))
        cells += [Text(part, no_wrap=True) for part in line.rest]
        grid.add_row(*cells)
        return grid
