"""Fills a store with images: an engine makes them, then checks look across all of them.

Knows neither diffusers nor where the requests come from.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from synfill.config.registry import Component
from synfill.generation.fill.task import Engine, FillTask, Progress


@dataclass(frozen=True)
class FillReport:
    """What a run came to, its earlier sessions included.

    Attributes:
        accepted: Accepted images.
        rejected: Rejected images.
        unfilled: The ids of the requests that no attempt filled.
        made: Images made in this session.
        seconds: How long this session took.
        batch_size: The batch size that it ended with.
    """

    accepted: int
    rejected: int
    unfilled: tuple[int, ...]
    made: int
    seconds: float
    batch_size: int


def fill(
    task: FillTask,
    engine: Component,
    *,
    on_progress: Callable[[Progress], None],
    on_note: Callable[[str], None],
) -> FillReport:
    """Make every image that the store doesn't have yet.

    Args:
        task: What to make.
        engine: How: an Engine; see `Engine.make_missing`.
        on_progress: Called after every batch.
        on_note: Called with a line for the user.

    Raises:
        RunError, KeyboardInterrupt: See `Engine.make_missing`.
    """
    assert isinstance(engine, Engine), "ENGINES holds engines"
    started = time.monotonic()
    store, checks = task.store, task.checks
    made = 0
    try:
        while True:
            # A damaged shard is missing several times if images of it were rejected before.
            while store.missing():
                made += engine.make_missing(task, on_progress, on_note)
            if store.is_settled or not checks.looks_across:
                break
            # What is found stands on disk before anything is made anew: a run that is killed
            # here goes on with the same rejections.
            store.revise(
                checks.look_across(task.requests, list(store.verdicts()), store.read_image)
            )
    finally:
        checks.close()
    accepted, rejected = set(), 0
    for verdict in store.verdicts():
        if verdict.accepted:
            accepted.add(verdict.request)
        else:
            rejected += 1
    return FillReport(
        accepted=len(accepted),
        rejected=rejected,
        unfilled=tuple(i for i in range(len(task.requests)) if i not in accepted),
        made=made,
        seconds=time.monotonic() - started,
        batch_size=store.last_batch_size() or task.batch_size,
    )
