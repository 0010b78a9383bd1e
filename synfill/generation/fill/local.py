"""The engine of this process: batches on the device, everything else beside it in threads.

While one batch denoises, the one before is checked by one thread, what is accepted is resized and
encoded by a pool of others, and finished shards are written by another.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Literal

from synfill.errors import RunError
from synfill.generation.fill.encode import encode, extension
from synfill.generation.fill.tally import Tally
from synfill.generation.fill.task import Engine, FillTask, Maker, Progress
from synfill.generation.pipeline.samples import OutOfMemory, Pending
from synfill.records import Request, Sample, Verdict
from synfill.runs.shard import Outcome

File = tuple[bytes, str]
"""The content of a file, and its name's suffix."""

Judged = list[tuple[Verdict, Future[File] | None]]
"""The verdicts of a batch, and the files of the accepted images as they are encoded."""


class LocalEngine(Engine):
    """Makes all images in this process, on one device."""

    name: Literal["local"] = "local"

    def make_missing(
        self,
        task: FillTask,
        on_progress: Callable[[Progress], None],
        on_note: Callable[[str], None],
    ) -> int:
        """See `Engine`. The batch size is halved for good when memory runs out."""
        with ExitStack() as stack:
            session = _Session(task, task.open_maker(), on_progress, on_note, stack)
            for index in task.store.missing():
                session.make_shard(index)
            session.finish()
        return session.tally.made


@dataclass
class _Shard:
    """A shard that is being made.

    Attributes:
        index: Its number.
        outcomes: What became of the images that are decided.
        batch_sizes: Those that were in force, one a batch.
        open: The batches that are being made, checked or encoded.
    """

    index: int
    outcomes: list[Outcome]
    batch_sizes: list[int] = field(default_factory=list)
    open: list[tuple[Sequence[Request], Future[Judged]]] = field(default_factory=list)


class _Session:
    """The threads of one session and what they are at.

    Args:
        task: What to make.
        maker: What makes the images.
        on_progress: Called after every batch.
        on_note: Called with a line for the user.
        stack: Ends the threads; what one has begun takes milliseconds and is let finish, the
            rest is dropped.
    """

    def __init__(
        self,
        task: FillTask,
        maker: Maker,
        on_progress: Callable[[Progress], None],
        on_note: Callable[[str], None],
        stack: ExitStack,
    ) -> None:
        self._task = task
        self._maker = maker
        self._on_progress = on_progress
        self._on_note = on_note
        self._batch_size = task.batch_size
        # At most two: the one that is being made, and the one before until it is settled.
        self._unsettled: list[_Shard] = []
        self._writing: Future[None] | None = None

        def threads(count: int, name: str) -> ThreadPoolExecutor:
            pool = ThreadPoolExecutor(count, f"synfill-{name}")
            stack.callback(pool.shutdown, wait=True, cancel_futures=True)
            return pool

        self._writer = threads(1, "write")
        # Pillow's coders let other threads run; more than a few would only take from torch.
        self._coders = threads(min(4, os.cpu_count() or 1), "encode")
        self._judge = threads(1, "check")  # ends first: it gives the coders work
        self.tally = Tally(len(task.requests))
        for verdict in task.store.verdicts():
            self.tally.count(verdict)
        missing = task.store.missing()
        for index in missing:
            if taken := task.store.taken(index):
                to_make = {request.id for request in task.to_make(index)}
                for outcome in taken:
                    self.tally.count(outcome.verdict, outcome.verdict.request not in to_make)
        maker.expect(
            (request for index in missing for request in task.to_make(index)),
            min(task.batch_size, len(task.requests)),
        )
        self.tally.start()

    def make_shard(self, index: int) -> None:
        """Begin to make a shard; the one before is settled meanwhile."""
        shard = _Shard(index, self._task.store.taken(index))
        to_make = self._task.to_make(index)
        self._unsettled.append(shard)
        self._make(shard, to_make)

    def finish(self) -> None:
        """Wait for all that is being made."""
        while self._unsettled:
            self._settle()
        if self._writing is not None:
            self._writing.result()
        if self.tally.made:
            self._on_progress(self.tally.progress())

    def _make(self, shard: _Shard, requests: Sequence[Request]) -> None:
        """Begin to make one image for each of these requests, in batches."""
        position = 0
        while position < len(requests):
            batch = requests[position : position + self._batch_size]
            pending = self._start(batch)
            if pending is None:
                continue
            position += len(batch)
            shard.batch_sizes.append(self._batch_size)
            is_first = not self.tally.made
            arrival = self.tally.launch(len(batch), batch[-1].cell.label)
            if is_first:
                # So that the first estimate is one. Later batches are at work while it is told.
                pending()
                arrival()
            shard.open.append((batch, self._judge.submit(self._check, batch, pending, arrival)))
            self._report()
            # The shard before is settled only once the first batch of the next is made: its
            # last images were checked and encoded meanwhile, and the device didn't wait for it.
            if shard is not self._unsettled[0]:
                self._settle()

    def _start(self, batch: Sequence[Request]) -> Pending | None:
        """Begin a batch; None if there was no memory for it and it has to be a smaller one."""
        try:
            return self._maker.start(batch)
        except OutOfMemory:
            if len(batch) == 1:
                raise RunError(
                    "There is not enough memory to make a single image.",
                    "Take a smaller --size, a smaller --model, or --offload, and run again. "
                    "What is finished is kept.",
                ) from None
        # A last batch may be smaller than the batch size: then halve what didn't fit.
        smaller = len(batch) // 2
        self._on_note(f"Out of memory at a batch of {len(batch)}: going on with {smaller}.")
        self._batch_size = smaller
        return None

    def _check(
        self, batch: Sequence[Request], pending: Pending, arrival: Callable[[], None]
    ) -> Judged:
        """Wait for a batch and judge it; what is accepted goes to the coders."""
        samples = pending()
        arrival()
        verdicts = self._task.checks.judge(batch, samples)
        return [
            (
                verdict,
                self._coders.submit(self._encode, request, sample) if verdict.accepted else None,
            )
            for request, sample, verdict in zip(batch, samples, verdicts, strict=True)
        ]

    def _encode(self, request: Request, sample: Sample) -> File:
        profile = self._task.profile_of(request)
        return encode(sample.pixels, profile), extension(profile)

    def _settle(self) -> None:
        """Wait for the oldest shard's images, try the rejected ones again, have it written."""
        shard = self._unsettled[0]
        while shard.open:
            again = []
            for batch, judged in shard.open:
                for request, (verdict, file) in zip(batch, judged.result(), strict=True):
                    is_last = request.attempt + 1 == self._task.max_tries
                    self.tally.count(verdict, verdict.accepted or is_last)
                    if file is None:
                        shard.outcomes.append(Outcome(verdict))
                        again += [] if is_last else [request.again(request.attempt + 1)]
                    else:
                        shard.outcomes.append(Outcome(verdict, *file.result()))
            shard.open.clear()
            self._make(shard, again)
        self._unsettled.remove(shard)
        if self._writing is not None:
            self._writing.result()
        shard.outcomes.sort(key=lambda outcome: (outcome.verdict.request, outcome.verdict.attempt))
        self._writing = self._writer.submit(
            self._task.store.write, shard.index, shard.outcomes, shard.batch_sizes
        )

    def _report(self) -> None:
        """Tell how far it is, counting what the threads have finished by now."""
        open_ = [judged for shard in self._unsettled for _, judged in shard.open]
        accepted = sum(
            verdict.accepted for judged in open_ if judged.done() for verdict, _ in judged.result()
        )
        self._on_progress(self.tally.progress(accepted))
