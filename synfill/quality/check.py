"""What a check is: it looks at batches of images, and says which may go into the dataset.

A check is a component: its options are its fields, `build` gives it at work. Checks know pixels
and what was asked for, neither diffusers nor files.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from synfill.config.registry import Component
from synfill.records import Request, Sample, Verdict


@dataclass(frozen=True)
class Finding:
    """What one check says about one image.

    Attributes:
        ok: Whether it lets the image pass.
        reason: Why not, in a few words; empty if it passes.
        scores: The figures that it computed, by name.
    """

    ok: bool
    reason: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)


PASSED = Finding(True)


@dataclass(frozen=True)
class Facts:
    """What a check may know of the run that it looks at.

    Attributes:
        size: (width, height) in pixels that the generator is to give.
        classes: The dataset's classes, in its order.
        device: Where a check that has a model computes: "cuda:0", "cpu".
    """

    size: tuple[int, int]
    classes: tuple[str, ...] = ()
    device: str = "cpu"


class Inspector:
    """A check at work; may hold a model. Called by one thread at a time."""

    def look(self, requests: Sequence[Request], samples: Sequence[Sample]) -> Sequence[Finding]:
        """Look at the images of a batch that passed all checks before this one.

        What is found of an image must not depend on those beside it: batches differ in size.

        Args:
            requests: What was asked for.
            samples: As many: what was made.

        Returns:
            As many.
        """
        return [PASSED] * len(samples)

    def after(
        self,
        requests: Sequence[Request],
        verdicts: Sequence[Verdict],
        read_image: Callable[[int], bytes],
    ) -> Iterable[Verdict]:
        """Look across all images once every request is decided; asked if `looks_across`.

        Those that are rejected here are made again and looked at, and all are looked across
        again, until none is rejected.

        Args:
            requests: The plan: request i has id i.
            verdicts: All of them, in order of request and attempt.
            read_image: The file's content of an accepted image, by its request's id.

        Returns:
            Verdicts in place of those on the same images. Must be decided by the arguments alone.
        """
        return ()

    def close(self) -> None:
        """Let go of what `build` opened."""


class EachImage(Inspector):
    """Looks at one image after the other.

    Args:
        find: What is found of one.
    """

    def __init__(self, find: Callable[[Sample], Finding]) -> None:
        self._find = find

    def look(self, requests: Sequence[Request], samples: Sequence[Sample]) -> Sequence[Finding]:
        """Look at each image."""
        return [self._find(sample) for sample in samples]


class Check(Component):
    """A check with its options."""

    name: str
    looks_across: ClassVar[bool] = False

    @abstractmethod
    def build(self, facts: Facts) -> Inspector:
        """Make it ready to look, once a process.

        Raises:
            RunError: The model that it needs can't be had.
        """

    def fingerprint(self) -> str:
        """Identifies the model that decides: its commit, or a hash of its files; "" for none."""
        return ""
