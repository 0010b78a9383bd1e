"""A cosine classifier: a network's last layer with normalized features and weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, normalize

from synfill.errors import UsageError
from synfill.training.network.model import classifier_name

_SCALE = "cosine_scale"


class CosineLinear(nn.Linear):
    """Scale times the cosine between an image's features and each class's weights.

    Args:
        features: Of an image.
        classes: How many there are.
        scale: The factor; it is kept with the weights.
    """

    cosine_scale: Tensor

    def __init__(self, features: int, classes: int, scale: float) -> None:
        super().__init__(features, classes, bias=False)
        self.register_buffer(_SCALE, torch.tensor(scale))

    def forward(self, input: Tensor) -> Tensor:
        """Features (b, features) to logits (b, classes)."""
        cosines = linear(normalize(input, dim=-1), normalize(self.weight, dim=-1))
        return self.cosine_scale * cosines


def use_cosine_classifier(network: nn.Module, scale: float) -> None:
    """Give a network's last layer's place to a cosine classifier with that layer's weights.

    Raises:
        UsageError: The last layer isn't linear.
    """
    name = classifier_name(network)
    layer = network.get_submodule(name)
    if isinstance(layer, CosineLinear):
        layer.cosine_scale.fill_(scale)
        return
    if not isinstance(layer, nn.Linear):
        raise UsageError(
            f"The loss needs a linear last layer, and {type(network).__name__}'s is a "
            f"{type(layer).__name__}.",
            "Take another network, or another loss.",
        )
    cosine = CosineLinear(layer.in_features, layer.out_features, scale)
    cosine.weight = layer.weight
    parent, _, last = name.rpartition(".")
    setattr(network.get_submodule(parent), last, cosine.to(layer.weight.device))


def fit_classifier(network: nn.Module, weights: dict[str, Tensor]) -> None:
    """Give a network a cosine classifier if these weights are of one that has it."""
    if f"{classifier_name(network)}.{_SCALE}" in weights:
        use_cosine_classifier(network, 1.0)
