"""timm's networks by name: timm:resnet10t, timm:vit_small_patch16_224.augreg_in21k, ..."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any, Final, Literal

from synfill.config.recipes.settings import ModelSettings
from synfill.errors import suggest
from synfill.records import Channels
from synfill.training.network.base import NetworkKind, NetworkProblem

if TYPE_CHECKING:
    from torch import nn

TIMM: Final = "timm:"


class TimmModels(NetworkKind):
    """The networks of timm, written timm:NAME."""

    name: Literal["timm"] = "timm"
    notation = "timm's are written timm:NAME."

    def has(self, name: str) -> bool:
        """Whether it begins with `timm:`; which there are is known to timm alone."""
        return name.startswith(TIMM)

    def find_problem(self, settings: ModelSettings) -> NetworkProblem | None:
        """timm isn't installed."""
        if importlib.util.find_spec("timm") is not None:
            return None
        return NetworkProblem(
            "name",
            f"{settings.name} needs timm, which isn't installed",
            'Install it: pip install "synfill[timm]"   (or pip install timm)',
        )

    def inspect(self, settings: ModelSettings) -> NetworkProblem | None:
        """timm has no such network, or no such weights."""
        import timm

        name = settings.name.removeprefix(TIMM)
        if not timm.is_model(name):
            return NetworkProblem(
                "name",
                f"timm {timm.__version__} has no network '{name}'",
                suggest(name, timm.list_models(), "networks"),
            )
        architecture, _, tag = name.partition(".")
        tags = timm.list_pretrained(f"{architecture}.*") if tag else ()
        if tag and name not in tags:
            return NetworkProblem(
                "name",
                f"timm {timm.__version__} has no weights '{tag}' of {architecture}",
                suggest(name, tags, "weights"),
            )
        if settings.pretrained and not timm.is_model_pretrained(name):
            return NetworkProblem(
                "pretrained",
                f"timm has no pretrained weights for {name}",
                "Set pretrained: false, or take another network.",
            )
        return None

    def build(self, settings: ModelSettings, classes: int, image_size: int) -> nn.Module:
        """See `NetworkKind`."""
        return _create(settings.name, classes, image_size, pretrained=False)

    def load_pretrained(
        self, network: nn.Module, settings: ModelSettings, classifier: str, image_size: int
    ) -> nn.Module:
        """See `NetworkKind`; it is another network, as timm itself loads the weights."""
        from synfill.hub.client import prepare_client

        prepare_client()
        last: Any = network.get_submodule(classifier)
        loaded = _create(settings.name, len(last.weight), image_size, pretrained=True)
        # timm keeps the pretrained one where the number of classes happens to be the same.
        last = loaded.get_submodule(classifier)
        last.reset_parameters()
        return loaded

    def statistics(self, name: str) -> tuple[Channels, Channels]:
        """See `NetworkKind`."""
        import timm

        config: Any = timm.get_pretrained_cfg(name.removeprefix(TIMM))
        return tuple(config.mean), tuple(config.std)


def _create(name: str, classes: int, image_size: int, pretrained: bool) -> nn.Module:
    import timm

    name = name.removeprefix(TIMM)
    config = timm.get_pretrained_cfg(name)
    fixed: dict[str, Any] = {}
    if config is not None and config.fixed_input_size:
        fixed = {"img_size": image_size}
    try:
        network: nn.Module = timm.create_model(name, pretrained, num_classes=classes, **fixed)
    except TypeError:
        # Some are made for one size and can't be told another.
        network = timm.create_model(name, pretrained, num_classes=classes)
    return network
