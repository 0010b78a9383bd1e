"""A dataset that a version up to 0.1 was moving into place when it was killed.

It had no journal: it removed what was to be replaced, then moved entry by entry, run.json last. So
each entry is either in `final` still, or in OUT already.
"""

from __future__ import annotations

import os
from pathlib import Path

from synfill.files import sync_folder
from synfill.records import JsonObject
from synfill.runs.dataset_files import CARD, RUN, disagreeing
from synfill.runs.dataset_record import RunRecord
from synfill.runs.record import read_record

_INFO = ("synfill/plan.parquet", "synfill/verdicts.parquet")


def complete_unjournaled(out: Path, final: Path) -> JsonObject | None:
    """Move the rest of such a dataset, if all of it is there.

    Args:
        out: The output folder.
        final: Where the dataset was assembled.

    Returns:
        The identity of the dataset that is now in place; None if nothing was moved.
    """
    record = read_record(final / RUN, RunRecord, ignore_damage=True)
    if record is None or record.files is not None or os.path.lexists(out / RUN):
        return None
    for name in {CARD, *map(record.data_folder, record.splits)}:
        # In both: somebody else put it there. In neither: `final` was being removed.
        if os.path.lexists(final / name) == os.path.lexists(out / name):
            return None
    for split in record.splits:
        place = final if os.path.lexists(final / record.data_folder(split)) else out
        if disagreeing(place, record, [split]):
            return None
    if not all((final / name).is_file() or (out / name).is_file() for name in _INFO):
        return None
    for child in sorted(final.iterdir()):
        if child.name != "synfill":
            os.replace(child, out / child.name)
    info = out / "synfill"
    info.mkdir(exist_ok=True)
    sync_folder(out)
    for child in sorted((final / "synfill").iterdir(), key=lambda child: child.name == "run.json"):
        os.replace(child, info / child.name)
    sync_folder(info)
    return record.identity
