"""The images themselves: each that goes into the result is decoded, unless it was before.

A part of the composer: a draft of a run -> a run that is ready to start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from synfill.balancing.identity import with_content
from synfill.balancing.prepare import Draft, Prepared, check_something_to_do
from synfill.data.images import BadRow, Inspection, inspect_split
from synfill.data.remembered import InspectionMemory
from synfill.errors import RunError
from synfill.records import ImageProfile, Request
from synfill.reporter import Reporter
from synfill.wording import counted, list_lines

BAD_ROWS_SHOWN = 10


def look_at_images(
    draft: Draft, reporter: Reporter, memory: InspectionMemory | None = None
) -> Prepared:
    """Decode every image that goes into the result, before a night is spent on it.

    Args:
        draft: The run.
        reporter: Told how far it is, and of images that are left out.
        memory: What was found before, of images that haven't changed since; the user's own by
            default.

    Raises:
        RunError: There are bad images, and they aren't to be skipped.
        UsageError: Without them there is nothing to do.
    """
    inspections = _inspect(draft, reporter, memory or InspectionMemory())
    bad = {split: inspection.bad for split, inspection in inspections.items()}
    _report_unreadable(draft, bad, reporter)
    rest = draft.without([row.row for row in bad[draft.split]])
    check_something_to_do(rest)
    known: dict[str, Any] = {field.name: getattr(rest, field.name) for field in fields(rest)}
    identity = with_content(rest.identity, inspections)
    return Prepared(
        **known | {"identity": identity, "unsure": frozenset()},
        inspections=inspections,
        bad=bad,
        plan=rest.make_plan(),
    )


def _inspect(draft: Draft, reporter: Reporter, memory: InspectionMemory) -> dict[str, Inspection]:
    source = draft.source
    # Before they are read: what changes meanwhile has another stamp the next time.
    stamp = source.stamp()
    rows = {split: draft.rows_to_read(split) for split in source.splits}
    found = {split: memory.recall(stamp, split, rows[split]) for split in source.splits}
    total = sum(len(rows[split]) for split, known in found.items() if known is None)
    done_before = 0
    for split, known in found.items():
        if known is None:
            on_progress = _counting(reporter, done_before, total, split)
            found[split] = looked = inspect_split(source, split, rows[split], on_progress)
            memory.keep(stamp, split, rows[split], looked)
            done_before += len(rows[split])
    return {split: looked for split, looked in found.items() if looked is not None}


def _counting(reporter: Reporter, before: int, total: int, split: str) -> Callable[[int], None]:
    def on_progress(done: int) -> None:
        reporter.progress("checking images", before + done, total, split)

    return on_progress


def _report_unreadable(
    draft: Draft, bad: Mapping[str, tuple[BadRow, ...]], reporter: Reporter
) -> None:
    found = [row for rows in bad.values() for row in rows]
    if not found:
        return
    if draft.settings.on_bad_image == "skip":
        first = f"{found[0].where} ({found[0].reason})"
        what = (
            f"{first} can't be read and is left out"
            if len(found) == 1
            else f"{len(found):,} images can't be read and are left out, {first} among them"
        )
        listed = "it" if len(found) == 1 else "them"
        reporter.warn(f"{what}; synfill/skipped.csv lists {listed}.")
        return
    total = sum(len(draft.rows_to_read(split)) for split in draft.source.splits)
    shown = list_lines([f"{row.where}: {row.reason}" for row in found], BAD_ROWS_SHOWN)
    raise RunError(
        f"{len(found):,} of {counted(total, 'image')} can't be read:\n{shown}",
        "Repair or remove them, or add --on-bad-image skip to leave them out.",
    )


class ProfileChooser:
    """Chooses for each request how its file is made: as a real image of its class, by its seed.

    Args:
        prepared: The run.

    Raises:
        RunError: There is no real image to take after.
    """

    def __init__(self, prepared: Prepared) -> None:
        inspection = prepared.inspections[prepared.split]
        codes = inspection.codes[inspection.codes >= 0]
        real = ~prepared.earlier.synthetic[prepared.table.rows]
        if not real.any():
            raise RunError(f"The split '{prepared.split}' has no real image that can be read.")
        self._profiles: tuple[ImageProfile, ...] = inspection.profiles
        self._all = codes[real]
        label = prepared.label
        self._of_class = {
            name: codes[real & (label.codes == code)] for code, name in enumerate(label.names)
        }

    def choose(self, request: Request) -> ImageProfile:
        """The profile of a request's image."""
        of_class = self._of_class[request.cell.label]
        choices = of_class if len(of_class) else self._all
        return self._profiles[int(choices[request.first_seed % len(choices)])]
