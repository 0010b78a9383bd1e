"""Images -> verdicts: the checks of a run, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Final

from synfill.config.components import CHECKS
from synfill.config.registry import Component
from synfill.quality.check import Check, Facts, Inspector
from synfill.records import JsonObject, Request, Sample, Verdict

ALWAYS_ON: Final = ("size", "finite", "flagged", "blank")
"""The checks that every run makes, the most telling reason first."""


class Checks:
    """The checks of a run: those that are always on, and then the chosen ones.

    They are built when they are first needed, in the process that needs them.

    Args:
        facts: What they may know.
        chosen: The chosen ones, in order.
    """

    def __init__(self, facts: Facts, chosen: Sequence[Component] = ()) -> None:
        self._facts = facts
        every = _as_checks([*(CHECKS[name]() for name in ALWAYS_ON), *chosen])
        self._checks = list({check.name: check for check in every}.values())
        self._inspectors: list[Inspector] = []

    @property
    def looks_across(self) -> bool:
        """Whether any of them looks across all images once each is decided."""
        return any(check.looks_across for check in self._checks)

    def judge(self, requests: Sequence[Request], samples: Sequence[Sample]) -> list[Verdict]:
        """Put a batch of images through all checks, each up to the first that rejects it.

        Args:
            requests: What was asked for.
            samples: As many: what was made.

        Returns:
            As many, each with the scores of every check that was made.
        """
        scores: list[dict[str, float]] = [{} for _ in requests]
        reasons: dict[int, str] = {}
        for inspector in self._open():
            places = [place for place in range(len(requests)) if place not in reasons]
            if not places:
                break
            found = inspector.look([requests[i] for i in places], [samples[i] for i in places])
            for place, finding in zip(places, found, strict=True):
                scores[place] |= finding.scores
                if not finding.ok:
                    reasons[place] = finding.reason
        return [
            Verdict(
                request.id,
                request.attempt,
                request.seed,
                place not in reasons,
                reasons.get(place, ""),
                scores[place],
            )
            for place, request in enumerate(requests)
        ]

    def look_across(
        self,
        requests: Sequence[Request],
        verdicts: Sequence[Verdict],
        read_image: Callable[[int], bytes],
    ) -> list[Verdict]:
        """Look across all images; see `Inspector.after`.

        Returns:
            The verdicts that changed, in order of request and attempt.
        """
        before = {(verdict.request, verdict.attempt): verdict for verdict in verdicts}
        now = dict(before)
        for check, inspector in zip(self._checks, self._open(), strict=True):
            if check.looks_across:
                revised = inspector.after(requests, list(now.values()), read_image)
                now |= {(one.request, one.attempt): one for one in revised}
        if now.keys() != before.keys():
            raise ValueError("a check judged images that there are not")
        return [one for key, one in now.items() if one != before[key]]

    def close(self) -> None:
        """Close what was built."""
        with ExitStack() as stack:
            for inspector in self._inspectors:
                stack.callback(inspector.close)
            self._inspectors = []

    def _open(self) -> list[Inspector]:
        for check in self._checks[len(self._inspectors) :]:
            self._inspectors.append(check.build(self._facts))
        return self._inspectors


def identify_checks(chosen: Sequence[Component]) -> JsonObject:
    """What chosen checks add to a run's identity; nothing where none is chosen."""
    if not chosen:
        return {}
    return {
        "check": [
            check.model_dump(mode="json")
            | ({"model": mark} if (mark := check.fingerprint()) else {})
            for check in _as_checks(chosen)
        ]
    }


def _as_checks(components: Sequence[Component]) -> list[Check]:
    checks = [component for component in components if isinstance(component, Check)]
    assert len(checks) == len(components), "CHECKS holds checks"
    return checks
