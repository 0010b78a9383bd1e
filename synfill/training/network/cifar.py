"""The CIFAR ResNets by name: resnet20, resnet32, resnet56, ..."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Final, Literal

from synfill.config.recipes.settings import ModelSettings
from synfill.errors import suggest
from synfill.training.network.base import NetworkKind, NetworkProblem

if TYPE_CHECKING:
    from torch import nn

_USUAL_DEPTHS: Final = (8, 14, 20, 32, 44, 56, 110)
_DEPTHS: Final = range(8, 1203, 6)
"""6n + 2 layers, up to the deepest of the paper."""
_TORCHVISIONS: Final = (18, 34, 50, 101, 152)
"""By these depths everyone knows other networks (50 = 6 * 8 + 2)."""


class CifarResNets(NetworkKind):
    """ResNets for small images, of 6n + 2 layers."""

    name: Literal["cifar-resnet"] = "cifar-resnet"

    def names(self) -> Collection[str]:
        """Those in use; any other depth will do as well."""
        return tuple(f"resnet{depth}" for depth in _USUAL_DEPTHS)

    def has(self, name: str) -> bool:
        """Whether it is resnet and a depth of theirs."""
        return _depth(name) is not None

    def suggest(self, name: str) -> str | None:
        """The nearest depth, for what is meant as a ResNet."""
        match = re.fullmatch(r"resnet[-_ ]?([0-9]{1,9})", name.lower())
        if match is None:
            return None
        wanted = int(match[1])
        if wanted > _DEPTHS[-1]:
            return suggest(name, self.names(), "networks")
        near = min({*_DEPTHS, *_TORCHVISIONS}, key=lambda depth: (abs(depth - wanted), depth))
        return (
            f"Did you mean 'resnet{near}'? CIFAR ResNets have 6n + 2 layers; torchvision has "
            "resnet18, 34, 50, 101 and 152."
        )

    def find_problem(self, settings: ModelSettings) -> NetworkProblem | None:
        """There are no pretrained weights."""
        if not settings.pretrained:
            return None
        return NetworkProblem(
            "pretrained",
            f"there are no pretrained weights for {settings.name}, a CIFAR ResNet",
            "Set pretrained: false, or take a network of torchvision, e.g. resnet18.",
        )

    def build(self, settings: ModelSettings, classes: int, image_size: int) -> nn.Module:
        """See `NetworkKind`; any size of images will do."""
        from synfill.training.network.cifar_resnet import CifarResNet

        depth = _depth(settings.name)
        assert depth is not None
        return CifarResNet(depth, classes)


def _depth(name: str) -> int | None:
    """The layers of the CIFAR ResNet of this name; None if it isn't one."""
    match = re.fullmatch(r"resnet([1-9][0-9]{0,3})", name)
    depth = int(match[1]) if match else 0
    return depth if depth in _DEPTHS and depth not in _TORCHVISIONS else None
