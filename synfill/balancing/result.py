"""What a balance run gives back: counts of each class or cell, and a summary in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synfill.balancing.prepare import Draft
from synfill.hub.upload.push import Pushed
from synfill.report.shortfall import what_is_missing
from synfill.tables import text_table
from synfill.wording import counted

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class CellCount:
    """One class or cell of the balanced split.

    Attributes:
        name: Its name.
        before: Real images in the source.
        kept: Real images that stay.
        wanted: Images that it should have in all.
        synthetic: Images that were made, or in a dry run would be.
        earlier: Synthetic images that the source had already.
        words: Its name with the words that a prompts file has for it.
    """

    name: str
    before: int
    kept: int
    wanted: int
    synthetic: int
    earlier: int = 0
    words: str = ""

    @property
    def total(self) -> int:
        """Images in all."""
        return self.kept + self.earlier + self.synthetic


@dataclass(frozen=True)
class BalanceResult:
    """What a run did, or in a dry run would do.

    Attributes:
        out: The output folder.
        split: The balanced split.
        by_groups: The group columns that cells are made of; empty for --by class.
        counts: One entry a class or cell, in the dataset's order.
        rejected: Images that were made and not accepted.
        unfilled: Images that were wanted and never accepted.
        rows: Images of each split of the balanced dataset; empty in a dry run.
        pushed: What was pushed to the Hub; None if nothing was.
        dry_run: Whether nothing was made.
        was_finished: Whether an earlier run had done it all.
        estimate: What a dry run expects, in lines of text.
        limit: How many images were to be made at most; None for no limit.
    """

    out: Path
    split: str
    by_groups: tuple[str, ...]
    counts: tuple[CellCount, ...]
    rejected: int = 0
    unfilled: int = 0
    rows: dict[str, int] | None = None
    dry_run: bool = False
    was_finished: bool = False
    estimate: tuple[str, ...] = ()
    pushed: Pushed | None = None
    limit: int | None = None

    def __repr__(self) -> str:
        made = "to make" if self.dry_run else "synthetic"
        rows = [
            (one.words or one.name, one.before, one.total, one.synthetic) for one in self.counts
        ]
        return "\n".join([text_table(["", "before", "after", made], rows), "", *self.summary()])

    def to_pandas(self) -> DataFrame:
        """One row a class or cell: name, before, kept, wanted, synthetic, earlier, words, total."""
        from pandas import DataFrame

        rows = [{**asdict(count), "total": count.total} for count in self.counts]
        return DataFrame(rows, columns=[*(each.name for each in fields(CellCount)), "total"])

    @property
    def synthetic(self) -> int:
        """Synthetic images in all."""
        return sum(count.synthetic for count in self.counts)

    def summary(self) -> list[str]:
        """The result in a few lines."""
        if self.dry_run:
            to_make = f"To make: {counted(self.synthetic, 'image')}."
            return [to_make, *self._below(), *self.estimate]
        lines = [
            f"{counted(self.synthetic, 'synthetic image')}, {self.rejected:,} rejected on the way"
            + (f", {self.unfilled:,} never filled (see verdicts.parquet)" * bool(self.unfilled))
            + ".",
            *self._below(),
            f"The balanced dataset is in {self.out}. "
            f"Load it with datasets.load_dataset({str(self.out)!r}).",
        ]
        if self.was_finished:
            lines.insert(0, "Nothing to do: an earlier run with these settings is complete.")
        return lines + (self.pushed.summary() if self.pushed is not None else [])

    def _below(self) -> list[str]:
        """What a limit leaves unfilled, in a line."""
        counts = [(c.words or c.name, c.total, c.wanted) for c in self.counts]
        missing = what_is_missing(counts, self.limit, "cell" if self.by_groups else "class")
        return [missing] if missing else []


def count_cells(draft: Draft, synthetic: Sequence[int]) -> tuple[CellCount, ...]:
    """The counts of each class or cell, of which so many images were made, or would be."""
    deficit = draft.deficit
    numbers = zip(
        deficit.before.tolist(),
        deficit.kept.tolist(),
        deficit.wanted.tolist(),
        synthetic,
        deficit.earlier.tolist(),
        strict=True,
    )
    return tuple(
        CellCount(str(cell), *counts, words=draft.writer.book.shown(cell))
        for cell, counts in zip(deficit.cells, numbers, strict=True)
    )


def make_result(draft: Draft, synthetic: Sequence[int], **known: Any) -> BalanceResult:
    """The result of a run, or of a dry run.

    Args:
        draft: The run.
        synthetic: Images of each class or cell that were made, or would be.
        known: What else `BalanceResult` holds.
    """
    return BalanceResult(
        out=draft.out,
        split=draft.split,
        by_groups=draft.settings.by_groups,
        counts=count_cells(draft, synthetic),
        dry_run=draft.settings.dry_run,
        limit=draft.settings.limit,
        **known,
    )
