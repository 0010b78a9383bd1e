"""`synfill balance --dry-run`: what a run would do, how long it would take, how much room it needs.

No image is read: there may be millions.
"""

from __future__ import annotations

from synfill.balancing.estimate import time_lines
from synfill.balancing.plan import Plan, write_plan
from synfill.balancing.prepare import Draft, Prepared
from synfill.balancing.result import BalanceResult, make_result
from synfill.errors import RunError
from synfill.files import format_bytes, free_bytes
from synfill.reporter import Reporter
from synfill.runs.dataset_files import PLAN
from synfill.runs.dataset_folder import DatasetFolder, State

ROOM_TO_SPARE = 50_000_000
EXAMPLES = 5


def describe_run(
    draft: Draft, folder: DatasetFolder, state: State | None, reporter: Reporter
) -> BalanceResult:
    """Say what would be done; write the plan, if there is a folder that is free for it.

    Args:
        draft: The run.
        folder: Its output folder.
        state: What the run would find there; None if it would stop there.
        reporter: Where the note on measuring the model goes.
    """
    plan = draft.make_plan()
    lines = [*_examples(draft, plan), _disk_line(draft, len(plan))]
    if len(plan):
        lines += time_lines(draft.model, plan, draft.settings.batch_size, reporter)
    lines.append("The images themselves are checked when the run starts.")
    if state == "new" and not folder.holds_dataset():
        write_plan(plan, folder.path / PLAN)
        lines.append(f"Every request stands in {folder.path / PLAN}.")
    return make_result(draft, draft.deficit.to_make.tolist(), estimate=tuple(lines))


def _examples(draft: Draft, plan: Plan) -> list[str]:
    prompts = plan.prompts(EXAMPLES)
    negative = draft.writer.book.negative_prompt
    lines = ["First prompts:", *(f"  {prompt}" for prompt in prompts)] if prompts else []
    return lines + ([f"Negative prompt: {negative}"] if negative else [])


def _disk_line(draft: Draft, requests: int) -> str:
    source = draft.source
    real = images = 0
    for split in source.splits:
        rows = len(draft.rows_to_read(split))
        real += source.image_bytes(split) * rows // max(1, source.count(split))
        images += rows
    synthetic = _like_real(real, images, requests)
    return (
        f"Disk: about {format_bytes(real + synthetic)} for the dataset, and "
        f"{format_bytes(synthetic)} more while it is made; "
        f"{format_bytes(free_bytes(draft.out.absolute()))} are free."
    )


def _like_real(real: int, images: int, requests: int) -> int:
    """Bytes that synthetic images will take, which are like the real ones."""
    return round(real / max(1, images) * requests)


def check_room(prepared: Prepared, folder: DatasetFolder) -> None:
    """Look whether there is room for the dataset, and for the images while it is made.

    Raises:
        RunError: There isn't.
    """
    found = prepared.inspections.values()
    real = sum(inspection.bytes for inspection in found)
    images = sum(len(inspection.codes) for inspection in found)
    synthetic = _like_real(real, images, len(prepared.plan))
    there = sum(path.stat().st_size for path in folder.shards.glob("*.parquet"))
    needed = real + 2 * synthetic - there + ROOM_TO_SPARE
    free = free_bytes(prepared.out.absolute())
    if needed > free:
        raise RunError(
            f"There is not enough room in {prepared.out}: the run needs about "
            f"{format_bytes(needed)}, {format_bytes(free)} are free.",
            "Make room, choose an --out on another disk, or make fewer images with --limit.",
        )
