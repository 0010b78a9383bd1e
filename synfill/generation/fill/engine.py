"""Fills a store with images: batches on the device, everything else beside it in threads.

While one batch denoises, the one before is checked, resized and encoded by a pool of threads, and
finished shards are written by another. Knows neither diffusers nor where the requests come from.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from synfill.errors import RunError
from synfill.generation.fill.encode import encode, extension
from synfill.generation.fill.store import ShardStore
from synfill.generation.pipeline.precision import OutOfMemory
from synfill.generation.pipeline.samples import Sample
from synfill.quality.checks import Check, judge
from synfill.records import ImageProfile, Request
from synfill.runs.shard import Outcome


class Maker(Protocol):
    """Makes images; `generator.Generator` is one."""

    def start(
        self, prompts: Sequence[str], negative_prompts: Sequence[str], seeds: Sequence[int]
    ) -> Sequence[Sample]:
        """Begin to make one image for each prompt; taking one waits until it is there.

        Raises:
            OutOfMemory: That is too many at a time.
        """


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        done: Requests that are decided: accepted, or given up.
        total: Requests of the run.
        accepted: Accepted images.
        rejected: Rejected images; a request may have several.
        label: The class that was last worked on.
        images_per_second: Images made in this session, accepted or not, a second.
        seconds_left: What is still to be made at that rate, images that take the place of
            rejected ones included; None before the first batch is done.
    """

    done: int
    total: int
    accepted: int
    rejected: int
    label: str
    images_per_second: float
    seconds_left: float | None


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


@dataclass
class _Shard:
    """A shard that is being made."""

    index: int
    requests: Sequence[Request]
    attempt: int = 0
    batch_sizes: list[int] = field(default_factory=list)
    open: list[tuple[Request, Future[Outcome]]] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)


def fill(
    requests: Sequence[Request],
    maker: Maker,
    store: ShardStore,
    profile_of: Callable[[Request], ImageProfile],
    checks: Sequence[Check],
    *,
    batch_size: int,
    max_tries: int,
    on_progress: Callable[[Progress], None],
    on_note: Callable[[str], None],
) -> FillReport:
    """Make every image that the store doesn't have yet.

    A rejected request is tried again with the next seed, within its shard. With the same batch
    sizes the store's files are the same bytes whether or not the run was interrupted.

    Args:
        requests: The plan: request i has id i.
        maker: Makes the images.
        store: Where they go; also says what is done already.
        profile_of: How the file of a request's image is to be made. Called from threads.
        checks: What an image must pass. Called from threads.
        batch_size: Images at a time; halved for good when memory runs out.
        max_tries: Attempts a request, 1 or more.
        on_progress: Called after every batch, from the calling thread.
        on_note: Called with a line for the user.

    Raises:
        RunError: No memory for a single image; disk full.
        KeyboardInterrupt: Passed on once the threads have stopped. Finished shards stay.
    """
    return _Engine(
        requests, maker, store, profile_of, checks, batch_size, max_tries, on_progress, on_note
    ).run()


@dataclass
class _Engine:
    """One session of `fill`; the first fields are its arguments."""

    requests: Sequence[Request]
    maker: Maker
    store: ShardStore
    profile_of: Callable[[Request], ImageProfile]
    checks: Sequence[Check]
    batch_size: int
    max_tries: int
    on_progress: Callable[[Progress], None]
    on_note: Callable[[str], None]
    # At most two: the one that is being made, and the one before until it is settled.
    unsettled: list[_Shard] = field(default_factory=list)
    writing: Future[None] | None = None

    def __post_init__(self) -> None:
        self.tally = _Tally(len(self.requests))
        # Pillow's coders let other threads run; more than a few would only take from torch.
        self.coders = ThreadPoolExecutor(min(4, os.cpu_count() or 1), "synfill-encode")
        self.writer = ThreadPoolExecutor(1, "synfill-write")

    def run(self) -> FillReport:
        for verdict in self.store.verdicts():
            self.tally.count(verdict.request, verdict.accepted)
        for index in self.store.missing():
            for outcome in self.store.taken(index):
                self.tally.count(outcome.verdict.request, outcome.verdict.accepted)
        self.tally.start()
        try:
            self._make_missing()
        finally:
            # What a thread has begun takes milliseconds and is let finish; the rest is dropped.
            self.coders.shutdown(wait=True, cancel_futures=True)
            self.writer.shutdown(wait=True, cancel_futures=True)
        tally = self.tally
        unfilled = tuple(i for i in range(len(self.requests)) if i not in tally.filled)
        return FillReport(
            accepted=len(tally.filled),
            rejected=tally.rejected,
            unfilled=unfilled,
            made=tally.made,
            seconds=tally.seconds(),
            batch_size=self.batch_size,
        )

    def _make_missing(self) -> None:
        for index in self.store.missing():
            requests = [self.requests[i] for i in self.store.to_make(index)]
            shard = _Shard(index, requests, outcomes=self.store.taken(index))
            self.unsettled.append(shard)
            self._make_round(shard, shard.requests)
        self._settle()
        if self.writing is not None:
            self.writing.result()
        if self.tally.made:
            self.on_progress(self.tally.progress(0))

    def _make_round(self, shard: _Shard, todo: Sequence[Request]) -> None:
        """Make one image for each of these requests, in batches."""
        position = 0
        while position < len(todo):
            batch = todo[position : position + self.batch_size]
            samples = self._start(batch, shard.attempt)
            if samples is None:
                continue
            position += len(batch)
            shard.batch_sizes.append(self.batch_size)
            if not self.tally.made:
                # So that the first estimate is one. Later batches are at work while it is told.
                samples[len(batch) - 1]
            arrival = self.tally.launch(len(batch), batch[-1].cell.label)
            for place, request in enumerate(batch):
                future = self.coders.submit(
                    self._finish, request, shard.attempt, samples, place, arrival
                )
                shard.open.append((request, future))
            self._report()
            # The shard before is settled only once the first batch of the next is made: its
            # last images were checked and encoded meanwhile, and the device didn't wait for it.
            if shard is not self.unsettled[0]:
                self._settle()

    def _start(self, batch: Sequence[Request], attempt: int) -> Sequence[Sample] | None:
        """Begin a batch; None if there was no memory for it and it has to be a smaller one."""
        try:
            return self.maker.start(
                [request.prompt for request in batch],
                [request.negative_prompt for request in batch],
                [request.seed + attempt for request in batch],
            )
        except OutOfMemory:
            if len(batch) == 1:
                raise RunError(
                    "There is not enough memory to make a single image.",
                    "Take a smaller --size, a smaller --model, or --offload, and run again. "
                    "What is finished is kept.",
                ) from None
        # A last batch may be smaller than the batch size: then halve what didn't fit.
        smaller = len(batch) // 2
        self.on_note(f"Out of memory at a batch of {len(batch)}: going on with {smaller}.")
        self.batch_size = smaller
        return None

    def _finish(
        self,
        request: Request,
        attempt: int,
        samples: Sequence[Sample],
        place: int,
        arrival: Callable[[], None],
    ) -> Outcome:
        """Wait for one image, check, resize and encode it; runs in a thread."""
        sample = samples[place]
        arrival()
        verdict = judge(request, attempt, sample, self.checks)
        if not verdict.accepted:
            return Outcome(verdict)
        profile = self.profile_of(request)
        return Outcome(verdict, encode(sample.pixels, profile), extension(profile))

    def _settle(self) -> None:
        """Wait for the oldest shard's images, try the rejected ones again, have it written."""
        if not self.unsettled:
            return
        shard = self.unsettled[0]
        while shard.open:
            last = shard.attempt + 1 == self.max_tries
            outcomes = [future.result() for _, future in shard.open]
            rejected = []
            for (request, _), outcome in zip(shard.open, outcomes, strict=True):
                accepted = outcome.verdict.accepted
                self.tally.count(request.id, accepted, decided=accepted or last)
                if not accepted:
                    rejected.append(request)
            shard.outcomes += outcomes
            shard.open.clear()
            shard.attempt += 1
            if not last:
                self._make_round(shard, rejected)
        self.unsettled.remove(shard)
        if self.writing is not None:
            self.writing.result()
        shard.outcomes.sort(key=lambda outcome: (outcome.verdict.request, outcome.verdict.attempt))
        self.writing = self.writer.submit(
            self.store.write, shard.index, shard.outcomes, shard.batch_sizes
        )

    def _report(self) -> None:
        """Tell how far it is, counting what the threads have finished by now."""
        open_ = [future for shard in self.unsettled for _, future in shard.open]
        accepted = sum(future.result().verdict.accepted for future in open_ if future.done())
        self.on_progress(self.tally.progress(accepted))


class _Tally:
    """Counts of a run, and its speed in this session.

    A GPU is still at work on a batch that was launched: the speed is that of the batches that have
    arrived, by the moment when the last of them did.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.filled: set[int] = set()
        self.decided: set[int] = set()
        self.rejected = 0
        self.made = 0
        self._label = ""
        self._counted = 0
        self._accepted = 0
        self._arrived = 0
        self._last_arrival = 0.0
        self._lock = threading.Lock()
        self._started = 0.0

    def start(self) -> None:
        """What is counted so far was done before this session."""
        self._counted = self._accepted = 0
        self._started = time.monotonic()

    def seconds(self) -> float:
        return time.monotonic() - self._started

    def count(self, request: int, accepted: bool, decided: bool = True) -> None:
        self._counted += 1
        self._accepted += accepted
        if accepted:
            self.filled.add(request)
        else:
            self.rejected += 1
        if decided:
            self.decided.add(request)

    def launch(self, images: int, label: str) -> Callable[[], None]:
        """Count a batch; what is returned is called, from any thread, when it has arrived."""
        is_first = self.made == 0
        self.made += images
        self._label = label
        has_arrived = False

        def arrive() -> None:
            nonlocal has_arrived
            with self._lock:
                if not has_arrived:
                    has_arrived = True
                    self._arrived += images
                    self._last_arrival = time.monotonic()

        if is_first:
            arrive()
        return arrive

    def progress(self, just_accepted: int) -> Progress:
        """Args: images accepted but not counted yet."""
        done = len(self.decided) + just_accepted
        with self._lock:
            arrived, seconds = self._arrived, self._last_arrival - self._started
        rate = arrived / max(seconds, 1e-9)
        # So many of the images that were made are accepted; at least one is assumed to be.
        share = max(self._accepted, 1) / max(self._counted, 1)
        waiting = arrived - self._counted
        to_make = max(0.0, (self.total - len(self.decided)) / share - waiting)
        return Progress(
            done=done,
            total=self.total,
            accepted=len(self.filled) + just_accepted,
            rejected=self.rejected,
            label=self._label,
            images_per_second=rate,
            seconds_left=to_make / rate if arrived else None,
        )
