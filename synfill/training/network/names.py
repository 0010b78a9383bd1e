"""Whose a network's name is, and what is wrong with it: without torch, torchvision or timm."""

from __future__ import annotations

from synfill.config.components import NETWORKS
from synfill.config.problems import nearest
from synfill.config.recipes.settings import ModelSettings
from synfill.errors import suggest
from synfill.training.network.base import NetworkKind, NetworkProblem


def network_kinds() -> list[NetworkKind]:
    """The kinds of networks, in the order in which they are asked."""
    return [kind() for kind in NETWORKS if issubclass(kind, NetworkKind)]


def find_kind(name: str) -> NetworkKind | None:
    """The kind that has a network of this name; None if it is nobody's."""
    return next((kind for kind in network_kinds() if kind.has(name)), None)


def network_problem(settings: ModelSettings) -> NetworkProblem | None:
    """What is wrong with a network's name and the wish for its weights, as far as can be told
    without importing what it is from.
    """
    kind = find_kind(settings.name)
    if kind is not None:
        return kind.find_problem(settings)
    hint = _suggest_network(settings.name)
    return NetworkProblem("name", f"there is no network '{settings.name}'", hint)


def model_problem(settings: ModelSettings) -> tuple[str, str] | None:
    """What is wrong with a recipe's `model`: the key, and what it is, with what to do."""
    problem = network_problem(settings)
    if problem is None:
        return None
    hint = problem.hint[:1].lower() + problem.hint[1:].removesuffix(".")
    return problem.key, f"{problem.message}; {hint}"


def _suggest_network(name: str) -> str:
    kinds = network_kinds()
    for kind in kinds:
        if hint := kind.suggest(name):
            return hint
    known = [known for kind in kinds for known in kind.names()]
    near = nearest(name, known)
    meant = f"Did you mean '{near}'?" if near else suggest(name, known, "networks")
    return " ".join([meant, *(kind.notation for kind in kinds if kind.notation)])
