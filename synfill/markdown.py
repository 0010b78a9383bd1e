"""Text from data -> Markdown, with nothing in it that Markdown or HTML would act on."""

from __future__ import annotations

import re
from collections.abc import Sequence


def escape(text: str) -> str:
    """Text from data, on one line, as it would be read."""
    flat = " ".join(text.split())
    flat = flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", flat)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table: its first column to the left, figures to the right.

    Args:
        columns: The titles.
        rows: The cells of each row, escaped already.
    """
    rule = "|".join(["---", *["---:"] * (len(columns) - 1)])
    lines = [f"| {' | '.join(cells)} |" for cells in (columns, *rows)]
    return "\n".join([lines[0], f"|{rule}|", *lines[1:]])
