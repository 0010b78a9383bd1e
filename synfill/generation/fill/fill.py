"""Fills a store with images: an engine makes them, then checks look across all of them.

Knows neither diffusers nor where the requests come from.
"""

from __future__ import annotations

from collections.abc import Callable

from synfill.config.registry import Component
from synfill.generation.fill.task import Engine, FillTask, Progress


def fill(
    task: FillTask,
    engine: Component,
    *,
    on_progress: Callable[[Progress], None],
    on_note: Callable[[str], None],
) -> int:
    """Make every image that the store doesn't have yet.

    Args:
        task: What to make.
        engine: How: an Engine; see `Engine.make_missing`.
        on_progress: Called after every batch.
        on_note: Called with a line for the user.

    Returns:
        How many images were made, accepted or not.

    Raises:
        RunError, KeyboardInterrupt: See `Engine.make_missing`.
    """
    assert isinstance(engine, Engine), "ENGINES holds engines"
    store, checks, made = task.store, task.checks, 0
    try:
        while True:
            # A damaged shard is missing several times if images of it were rejected before.
            while store.missing():
                made += engine.make_missing(task, on_progress, on_note)
            if store.is_settled or not checks.looks_across:
                return made
            # What is found stands on disk before anything is made anew: a run that is killed
            # here goes on with the same rejections.
            store.revise(
                checks.look_across(task.requests, list(store.verdicts()), store.read_image)
            )
    finally:
        checks.close()
