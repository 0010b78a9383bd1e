"""Schedulers (samplers) by the names that people use for them, for any diffusers pipeline.

diffusers is imported only when a scheduler is built.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from synfill.config.generator import SCHEDULERS
from synfill.errors import UsageError, suggest

# A flow-matching model keeps its own scheduler; these are the names under which it goes.
_FLOW_NAMES: Final[Mapping[str, str]] = {
    "euler": "FlowMatchEulerDiscreteScheduler",
    "heun": "FlowMatchHeunDiscreteScheduler",
    "dpm++": "DPMSolverMultistepScheduler",
    "unipc": "UniPCMultistepScheduler",
}


def is_flow_matching(scheduler: Mapping[str, Any]) -> bool:
    """Whether a model was trained by flow matching (SD3, FLUX, Sana).

    Args:
        scheduler: Its scheduler_config.json; the answer for an empty one is no.
    """
    return (
        "FlowMatch" in str(scheduler.get("_class_name", ""))
        or bool(scheduler.get("use_flow_sigmas"))
        or scheduler.get("prediction_type") == "flow_prediction"
    )


def check_scheduler(name: str, model: str, own: Mapping[str, Any], *, flow: bool) -> None:
    """Refuse a scheduler that there isn't, or that this model can't be sampled with.

    Args:
        name: What the user wrote.
        model: The model's name, for the message.
        own: The model's scheduler_config.json; may be empty.
        flow: Whether the model was trained by flow matching.

    Raises:
        UsageError: Unknown name, or a diffusion sampler on a flow-matching model.
    """
    if name not in SCHEDULERS:
        raise UsageError(
            f"There is no scheduler '{name}'.", suggest(name, SCHEDULERS, "schedulers")
        )
    own_class = str(own.get("_class_name", "FlowMatchEulerDiscreteScheduler"))
    if flow and _FLOW_NAMES.get(name) != own_class:
        raise UsageError(
            f"The scheduler '{name}' doesn't fit {model}: it is a flow-matching model.",
            f"Leave --scheduler out: it then runs with its own ({own_class}).",
        )


def build_scheduler(name: str, own: Any, *, flow: bool) -> Any:
    """A scheduler of this name with the noise schedule that the model was trained with.

    Args:
        name: A key of SCHEDULERS that `check_scheduler` has let pass.
        own: The pipeline's scheduler.
        flow: Whether the model was trained by flow matching; it then keeps its own.
    """
    import diffusers

    if flow:
        return own
    class_name, extra = SCHEDULERS[name]
    return getattr(diffusers, class_name).from_config(own.config, **extra)
