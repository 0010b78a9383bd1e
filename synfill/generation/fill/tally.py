"""Counts of a run, and its speed in this session."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from synfill.generation.fill.task import Progress
from synfill.records import Verdict


class Tally:
    """Counts what is decided, and how fast images come.

    A GPU is still at work on a batch that was launched: the speed is that of the batches that have
    arrived, by the moment when the last of them did.

    Args:
        total: Requests of the run.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._filled: set[int] = set()
        self._decided: set[int] = set()
        self._rejected = 0
        self.made = 0
        self._label = ""
        self._arrived = 0
        self._last_arrival = 0.0
        self._lock = threading.Lock()
        self.start()

    def start(self) -> None:
        """What is counted so far was done before this session."""
        self._counted = self._accepted = 0
        self._started = time.monotonic()

    def count(self, verdict: Verdict, decides: bool = True) -> None:
        """Count an image; `decides` says whether its request isn't tried again."""
        self._counted += 1
        self._accepted += verdict.accepted
        if verdict.accepted:
            self._filled.add(verdict.request)
        else:
            self._rejected += 1
        if decides:
            self._decided.add(verdict.request)

    def launch(self, images: int, label: str) -> Callable[[], None]:
        """Count a batch; what is returned is called, from any thread, when it has arrived."""
        self.made += images
        self._label = label
        under_way = images

        def arrive() -> None:
            nonlocal under_way
            with self._lock:
                if under_way:
                    self._arrived += under_way
                    self._last_arrival = time.monotonic()
                under_way = 0

        return arrive

    def progress(self, just_accepted: int = 0) -> Progress:
        """How far the run is; `just_accepted` images aren't counted yet."""
        done = len(self._decided) + just_accepted
        with self._lock:
            arrived, seconds = self._arrived, self._last_arrival - self._started
        rate = arrived / max(seconds, 1e-9)
        # So many of the images that were made are accepted; at least one is assumed to be.
        share = max(self._accepted, 1) / max(self._counted, 1)
        waiting = arrived - self._counted
        to_make = max(0.0, (self._total - len(self._decided)) / share - waiting)
        return Progress(
            done=done,
            total=self._total,
            accepted=len(self._filled) + just_accepted,
            rejected=self._rejected,
            label=self._label,
            images_per_second=rate,
            seconds_left=to_make / rate if arrived else None,
        )
