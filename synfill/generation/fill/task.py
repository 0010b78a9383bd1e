"""What filling a store takes: who makes the images, who checks them, and how far it is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from synfill.config.registry import Component
from synfill.generation.fill.store import ShardStore
from synfill.generation.pipeline.samples import Pending
from synfill.quality.judge import Checks
from synfill.records import ImageProfile, Request


class Maker(Protocol):
    """Makes images; `generator.Generator` is one."""

    def expect(self, requests: Iterable[Request], batch_size: int) -> None:
        """Hear what will be asked for, before the first batch.

        Args:
            requests: All that is still to be made, but for images in place of rejected ones.
            batch_size: The largest number at a time.
        """

    def start(self, requests: Sequence[Request]) -> Pending:
        """Begin to make one image for each request.

        Returns:
            What waits for as many images, in order.

        Raises:
            OutOfMemory: That is too many at a time.
        """


@dataclass(frozen=True)
class FillTask:
    """What is to be made, with what, and where it goes. The functions are called from threads.

    Attributes:
        requests: The plan: request i has id i.
        open_maker: Gives what makes the images, once a process.
        store: Where they go; also says what is done already.
        profile_of: How the file of a request's image is to be made.
        checks: What an image must pass.
        batch_size: Images at a time.
        max_tries: Attempts a request, 1 or more.
    """

    requests: Sequence[Request]
    open_maker: Callable[[], Maker]
    store: ShardStore
    profile_of: Callable[[Request], ImageProfile]
    checks: Checks
    batch_size: int
    max_tries: int

    def to_make(self, shard: int) -> list[Request]:
        """What is to be made of a missing shard first: each request's next attempt."""
        left = [self.requests[i].again(k) for i, k in self.store.next_attempts(shard).items()]
        return [request for request in left if request.attempt < self.max_tries]


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


class Engine(Component):
    """How the shards of a store are made: in this process, or elsewhere."""

    name: str

    @abstractmethod
    def make_missing(
        self,
        task: FillTask,
        on_progress: Callable[[Progress], None],
        on_note: Callable[[str], None],
    ) -> int:
        """Make every shard that the store doesn't have yet.

        A rejected request is tried again with the next seed, within its shard. With the same batch
        sizes the store's files are the same bytes whichever engine makes them, and whether or not
        it was interrupted.

        Args:
            task: What to make.
            on_progress: Called after every batch, from the calling thread.
            on_note: Called with a line for the user.

        Returns:
            How many images were made, accepted or not.

        Raises:
            RunError: No memory for a single image; disk full.
            KeyboardInterrupt: Passed on once all is stopped. Finished shards stay.
        """
