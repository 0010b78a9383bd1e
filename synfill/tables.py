"""Rows of a result as text, for a notebook's or an interpreter's answer. Pure."""

from __future__ import annotations

from collections.abc import Sequence

FOLD_ABOVE = 12


def text_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Align rows under their titles; many rows fold in the middle.

    Args:
        columns: The titles; the first column is text, the others are numbers or text of numbers.
        rows: The rows; an integer is shown with its thousands apart, None as "-".
    """
    shown = [list(columns), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[k]) for row in shown) for k in range(len(columns))]
    lines = [
        "  ".join(
            cell.rjust(width) if k else cell.ljust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in shown
    ]
    if len(rows) > FOLD_ABOVE:
        half = FOLD_ABOVE // 2
        more = f"... {len(rows) - FOLD_ABOVE:,} more"
        lines = [*lines[: half + 1], more, *lines[-half:]]
    return "\n".join(lines)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else str(value)
