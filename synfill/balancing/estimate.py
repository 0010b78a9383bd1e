"""How long a run will take, for the dry run: measured where the model is at hand, else estimated.

A part of the composer `run`: it knows the plan and the generator.
"""

from __future__ import annotations

from pathlib import Path

from synfill.balancing.plan import Plan
from synfill.errors import SynfillError
from synfill.generation.models.resolve import ResolvedModel
from synfill.generation.pipeline.batch_size import expected_batch_size
from synfill.generation.pipeline.rates import (
    PEAK_TFLOPS,
    UTILISATION,
    estimate_seconds,
    measure_rate,
)
from synfill.hub.snapshot import CONFIG_FILES, snapshot
from synfill.reporter import Reporter


def time_lines(
    model: ResolvedModel, plan: Plan, batch_size: int | None, reporter: Reporter
) -> list[str]:
    """How long the plan will take, in a line or two.

    Args:
        model: The generator. Its weights are loaded only if they are on this machine already.
        plan: What is to be made; not empty.
        batch_size: Images at a time; None for automatic.
        reporter: Where the note on loading goes.
    """
    if _is_at_hand(model):
        return [_measured(model, plan, batch_size, reporter)]
    estimates = {name: estimate_seconds(model, len(plan), name) for name in PEAK_TFLOPS}
    known = {name: seconds for name, seconds in estimates.items() if seconds is not None}
    if not known:
        return [
            f"Time: not known for {model.id}; once it is on this machine, --dry-run measures it."
        ]
    hours = ", ".join(f"{name} {_hours(seconds)}" for name, seconds in known.items())
    return [
        f"GPU-hours, estimated from the model's operations at {UTILISATION:.0%} of the published "
        f"rate: {hours}.",
        f"The weights of {model.id} are not on this machine: they are fetched when the run starts.",
    ]


def _measured(model: ResolvedModel, plan: Plan, batch_size: int | None, reporter: Reporter) -> str:
    from synfill.generation.pipeline.generator import load_generator

    reporter.note(f"Loading {model.id} on {model.device} to measure it.")
    generator = load_generator(model)
    size = min(batch_size or expected_batch_size(model), len(plan))
    seconds = measure_rate(generator, plan[0], size)
    return (
        f"Time: about {_hours(seconds * len(plan))} hours on this machine ({model.device}; "
        f"measured: {seconds:.3g} s an image at batch size {size})."
    )


def _is_at_hand(model: ResolvedModel) -> bool:
    """Whether the weights of every part of the model are on this machine."""
    if model.is_local:
        return True
    try:
        folder = snapshot(model.source, model.revision or None, CONFIG_FILES, "model")
    except SynfillError:
        # What can't be reached now is told when the run starts; here it is just not at hand.
        return False
    parts = [path.parent for path in Path(folder).glob("*/config.json")]
    return bool(parts) and all(any(part.glob("*.safetensors")) for part in parts)


def _hours(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:.1f}" if hours >= 1 else f"{hours:.2g}"
