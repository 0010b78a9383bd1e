"""Torchvision's classifiers by name.

Their names are read off torchvision's source: importing it takes three seconds of the processor,
which every mistake in a recipe would cost, and this takes 0.03.
"""

from __future__ import annotations

import functools
import importlib.util
import re
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from synfill.config.recipes.settings import ModelSettings
from synfill.records import Channels
from synfill.training.network.base import NetworkKind

if TYPE_CHECKING:
    from torch import nn

# Their builders give a second output for training, which no loss here has a use for.
_WITH_AUXILIARY_HEADS: Final = ("googlenet", "inception_v3")
# The function's own name is the network's; other decorators may stand between the two.
_REGISTERED = re.compile(r"^@register_model\(\)\n(?:(?!def ).*\n)*?def (\w+)\(", re.MULTILINE)


class TorchvisionModels(NetworkKind):
    """The classifiers of torchvision."""

    name: Literal["torchvision"] = "torchvision"

    def names(self) -> Collection[str]:
        """All of the installed torchvision."""
        return torchvision_names()

    def build(self, settings: ModelSettings, classes: int, image_size: int) -> nn.Module:
        """See `NetworkKind`."""
        from torchvision import models

        name = settings.name
        options: dict[str, Any] = {}
        if name in _WITH_AUXILIARY_HEADS:
            # The pretrained weights were trained behind this change of the input's scale.
            transform = settings.pretrained
            options = {"aux_logits": False, "init_weights": True, "transform_input": transform}
        elif name.startswith("vit_"):
            options = {"image_size": image_size}
        elif name.startswith("maxvit_"):
            options = {"input_size": (image_size, image_size)}
        network: nn.Module = models.get_model(name, weights=None, num_classes=classes, **options)
        return network

    def load_pretrained(
        self, network: nn.Module, settings: ModelSettings, classifier: str, image_size: int
    ) -> nn.Module:
        """See `NetworkKind`."""
        from torchvision import models

        source = models.get_model(settings.name, weights="DEFAULT")
        weights = {
            key: value
            for key, value in source.state_dict().items()
            if not key.startswith((f"{classifier}.", "AuxLogits."))
        }
        if settings.name.startswith("vit_"):
            # Its positions are learnt for one size of images; for others they are interpolated.
            models.vision_transformer.interpolate_embeddings(image_size, source.patch_size, weights)
        missing, unexpected = network.load_state_dict(weights, strict=False)
        assert not unexpected and all(key.startswith(f"{classifier}.") for key in missing)
        return network

    def statistics(self, name: str) -> tuple[Channels, Channels]:
        """See `NetworkKind`."""
        from torchvision import models

        transforms: Any = models.get_model_weights(name).DEFAULT.transforms()
        return tuple(transforms.mean), tuple(transforms.std)


@functools.cache
def torchvision_names() -> tuple[str, ...]:
    """The names of the installed torchvision's classifiers, in order."""
    # Finding the spec of a package at the top level imports nothing.
    spec = importlib.util.find_spec("torchvision")
    folders = spec.submodule_search_locations if spec is not None else None
    found = {
        name
        for folder in folders or ()
        for path in (Path(folder) / "models").glob("*.py")
        for name in _REGISTERED.findall(path.read_text(encoding="utf-8", errors="replace"))
    }
    if not found:
        # The source is in a zip file, compiled, or laid out in a new way.
        from torchvision import models

        found = set(models.list_models(module=models))
    return tuple(sorted(found))
