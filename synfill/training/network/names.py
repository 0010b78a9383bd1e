"""Which names of networks there are, told without importing torch, torchvision or timm.

Torchvision's are read off its source, as its import takes seconds. The names of timm are known to
timm alone: `networks.py` checks those later.
"""

from __future__ import annotations

import functools
import importlib.util
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from synfill.config.problems import nearest
from synfill.errors import suggest

TIMM: Final = "timm:"
CIFAR_RESNETS: Final = tuple(f"resnet{depth}" for depth in (8, 14, 20, 32, 44, 56, 110))
"""The depths in use; any other of 6n + 2 layers will do as well."""

DEEPEST: Final = 1202
"""The deepest of the paper."""

# The function's own name is the network's; other decorators may stand between the two.
_REGISTERED = re.compile(r"^@register_model\(\)\n(?:(?!def ).*\n)*?def (\w+)\(", re.MULTILINE)


@dataclass(frozen=True)
class NetworkProblem:
    """Why there is no such network.

    Attributes:
        key: The key of `model` that is wrong.
        message: What is wrong, as a sentence without its full stop.
        hint: What to do, in sentences.
    """

    key: Literal["name", "pretrained"]
    message: str
    hint: str


def network_problem(
    name: str, pretrained: bool, torchvision: Collection[str]
) -> NetworkProblem | None:
    """What is wrong with a network's name and the wish for its weights, as far as can be told here.

    Args:
        name: The name.
        pretrained: Whether pretrained weights are wanted.
        torchvision: The names of torchvision's classifiers; empty where they aren't known: no name
            but timm's is refused then.
    """
    if name.startswith(TIMM):
        if importlib.util.find_spec("timm") is not None:
            return None
        return NetworkProblem(
            "name",
            f"{name} needs timm, which isn't installed",
            'Install it: pip install "synfill[timm]"   (or pip install timm)',
        )
    if not torchvision or name in torchvision:
        return None
    if cifar_depth(name) is None:
        hint = _suggest_network(name, torchvision)
        return NetworkProblem("name", f"there is no network '{name}'", hint)
    if pretrained:
        return NetworkProblem(
            "pretrained",
            f"there are no pretrained weights for {name}, a CIFAR ResNet",
            "Set pretrained: false, or take a network of torchvision, e.g. resnet18.",
        )
    return None


def model_problem(name: str, pretrained: bool) -> tuple[str, str] | None:
    """What is wrong with a recipe's `model`, as far as can be told without torch: the key, and
    what it is, with what to do.
    """
    problem = network_problem(name, pretrained, torchvision_names())
    if problem is None:
        return None
    hint = problem.hint[:1].lower() + problem.hint[1:].removesuffix(".")
    return problem.key, f"{problem.message}; {hint}"


def cifar_depth(name: str) -> int | None:
    """The layers of the CIFAR ResNet of this name: 6n + 2, from 8 on; None if it isn't one."""
    match = re.fullmatch(r"resnet([1-9][0-9]{0,3})", name)
    depth = int(match[1]) if match else 0
    return depth if depth in _cifar_depths() else None


@functools.cache
def torchvision_names() -> frozenset[str]:
    """The names of the installed torchvision's classifiers, read off its source.

    Empty where the source can't be found: in a zip file, compiled only, or laid out in a new way.
    """
    # Finding the spec of a package at the top level imports nothing.
    spec = importlib.util.find_spec("torchvision")
    folders = spec.submodule_search_locations if spec is not None else None
    return frozenset(
        name
        for folder in folders or ()
        for path in (Path(folder) / "models").glob("*.py")
        for name in _REGISTERED.findall(path.read_text(encoding="utf-8", errors="replace"))
    )


def _cifar_depths() -> range:
    return range(8, DEEPEST + 1, 6)


def _suggest_network(name: str, torchvision: Collection[str]) -> str:
    known = [*CIFAR_RESNETS, *sorted(torchvision)]
    match = re.fullmatch(r"resnet[-_ ]?([0-9]{1,9})", name.lower())
    if match and int(match[1]) <= DEEPEST:
        return (
            f"Did you mean 'resnet{_nearest_depth(int(match[1]), known)}'? CIFAR ResNets have "
            "6n + 2 layers; torchvision has resnet18, 34, 50, 101 and 152."
        )
    near = None if match else nearest(name, known)
    meant = f"Did you mean '{near}'?" if near else suggest(name, known, "networks")
    return f"{meant} timm's are written timm:NAME."


def _nearest_depth(depth: int, known: Collection[str]) -> int:
    numbers = (name.removeprefix("resnet") for name in known)
    depths: set[int] = {*_cifar_depths(), *(int(number) for number in numbers if number.isdigit())}
    return min(depths, key=lambda one: (abs(one - depth), one))
