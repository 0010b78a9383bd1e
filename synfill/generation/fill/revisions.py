"""Verdicts that were revised after all images had been looked across, in files beside the shards.

A file holds what one look found; the last one rejects nothing. They come before the shards that
are written anew, so that a run that is killed between them goes on with the same rejections.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from synfill.files import atomic_write
from synfill.reading import read_regular
from synfill.records import Verdict
from synfill.runs.shard import Outcome

_LARGEST = 1 << 30
_FORM = TypeAdapter(list[Verdict])


class Revisions:
    """The revised verdicts of a run.

    Args:
        folder: Where the shards are.
        on_note: Told of a file that can't be read: what it found is looked for again.
    """

    def __init__(self, folder: Path, on_note: Callable[[str], None]) -> None:
        self._folder = folder
        self._looks: list[list[Verdict]] = []
        self._requests: set[int] = set()
        self._latest: dict[tuple[int, int], Verdict] = {}
        while (path := self._next_path()).exists():
            try:
                verdicts = _FORM.validate_json(read_regular(path, _LARGEST))
            except (OSError, ValidationError):
                on_note(f"{path.name}, which rejects finished images, is damaged: they are looked "
                        "at again.")  # fmt: skip
                for later in folder.glob("across-*.json"):
                    if later >= path:
                        later.unlink()
                break
            self._remember(verdicts)

    @property
    def are_settled(self) -> bool:
        """Whether the last look rejected nothing."""
        return bool(self._looks) and all(verdict.accepted for verdict in self._looks[-1])

    def add(self, verdicts: Sequence[Verdict]) -> None:
        """Keep what a look found; nothing is a finding too.

        Raises:
            RunError: The disk is full.
        """
        with atomic_write(self._next_path()) as file:
            file.write(_FORM.dump_json(list(verdicts)))
        self._remember(list(verdicts))

    def touch(self, requests: range) -> bool:
        """Whether any of these requests has a revised verdict."""
        return any(request in self._requests for request in requests)

    def of(self, verdict: Verdict) -> Verdict:
        """What a verdict is now."""
        return self._latest.get((verdict.request, verdict.attempt), verdict)

    def apply(self, outcome: Outcome) -> Outcome:
        """What an outcome is now: without its image if that is rejected."""
        now = replace(outcome, verdict=self.of(outcome.verdict))
        return now if now.verdict.accepted else Outcome(now.verdict)

    def _remember(self, verdicts: list[Verdict]) -> None:
        self._looks.append(verdicts)
        self._requests |= {one.request for one in verdicts}
        self._latest |= {(one.request, one.attempt): one for one in verdicts}

    def _next_path(self) -> Path:
        return self._folder / f"across-{len(self._looks):03d}.json"
