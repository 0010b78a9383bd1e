"""How long a run will take, for the dry run: measured where the model is at hand, else estimated."""

from __future__ import annotations

from synfill.balancing.plan import Plan
from synfill.balancing.reporter import Reporter
from synfill.generate.resolve import ResolvedModel


def time_lines(model: ResolvedModel, plan: Plan, reporter: Reporter) -> list[str]:
    """A few lines on time, for a person."""
    return []
