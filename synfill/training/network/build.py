"""From a network's name to the network: CIFAR ResNets, torchvision's classifiers, timm's.

A name that torchvision has is torchvision's: resnet50 and resnet152 are its bottleneck networks,
not the CIFAR ResNets of that depth (50 = 6 * 8 + 2). Pretrained weights are read as tensors only:
no code in a downloaded file is ever run. Nothing here knows of seeds, stages or a run's files.
"""

from __future__ import annotations

import contextlib
import os
import pickle
from collections.abc import Iterator
from typing import Any, Final

from torch import nn
from torchvision import models

from synfill.config.training import ModelSettings
from synfill.errors import RunError, UsageError, suggest
from synfill.hub.client import prepare_client
from synfill.hub.failures import transport_error
from synfill.training.augment.augmenter import Channels
from synfill.training.network.cifar_resnet import CifarResNet
from synfill.training.network.names import TIMM, cifar_depth, network_problem

# Their builders give a second output for training, which no loss here has a use for.
_WITH_AUXILIARY_HEADS: Final = ("googlenet", "inception_v3")


def check_name(settings: ModelSettings) -> None:
    """Whether there is such a network, and weights for it where they are asked for.

    Raises:
        UsageError: Unknown (the hint has the nearest name), timm isn't installed, or there are no
            pretrained weights.
    """
    name, pretrained = settings.name, settings.pretrained
    if problem := network_problem(name, pretrained, _torchvision_names()):
        raise UsageError(f"model.{problem.key}: {problem.message}.", problem.hint)
    if name.startswith(TIMM):
        _check_timm(name.removeprefix(TIMM), pretrained)


def make_network(settings: ModelSettings, classes: int, image_size: int) -> nn.Module:
    """A network with fresh random weights (from torch's global generator), on the CPU.

    Args:
        settings: Its name, which check_name has accepted.
        classes: Outputs.
        image_size: Side of the images in pixels, for the networks that are made for one size.

    Raises:
        Exception: Whatever the network itself raises at an image size that it can't have.
    """
    name = settings.name
    if name.startswith(TIMM):
        return _make_timm(name.removeprefix(TIMM), classes, image_size, pretrained=False)
    if name not in _torchvision_names():
        depth = cifar_depth(name)
        assert depth is not None
        return CifarResNet(depth, classes)
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


def with_pretrained(
    network: nn.Module, settings: ModelSettings, classes: int, image_size: int
) -> nn.Module:
    """The network with pretrained weights in all but its classifier, which stays random.

    Args:
        network: What make_network gave for the same arguments.
        settings: Its name.
        classes: Outputs.
        image_size: Side of the images in pixels.

    Raises:
        RunError: The weights can't be fetched or read.
    """
    name = settings.name
    with _fetching(name):
        if not name.startswith(TIMM):
            _load_torchvision(network, name, image_size)
            return network
        prepare_client()
        network = _make_timm(name.removeprefix(TIMM), classes, image_size, pretrained=True)
    # timm keeps the pretrained one where the number of classes happens to be the same.
    layer: Any = network.get_submodule(classifier_name(network))
    layer.reset_parameters()
    return network


def pretrained_statistics(settings: ModelSettings) -> tuple[Channels, Channels] | None:
    """Mean and standard deviation of the images that pretrained weights were trained on.

    Returns:
        Of each channel (RGB), in 0..1; None where the network starts from random weights, and is
        shown images by their own mean and standard deviation.
    """
    if not settings.pretrained:
        return None
    described: Any
    if settings.name.startswith(TIMM):
        import timm

        described = timm.get_pretrained_cfg(settings.name.removeprefix(TIMM))
    else:
        described = models.get_model_weights(settings.name).DEFAULT.transforms()
    return tuple(described.mean), tuple(described.std)


def classifier_name(network: nn.Module) -> str:
    """The dotted name of the last layer, a linear layer or (SqueezeNet) a 1x1 convolution.

    Raises:
        UsageError: A network of timm without a single last layer.
    """
    named = list(network.named_modules())
    get_classifier = getattr(network, "get_classifier", None)
    if get_classifier is not None:
        named = [(name, module) for name, module in named if module is get_classifier()]
    names: list[str] = [name for name, module in named if isinstance(module, nn.Linear | nn.Conv2d)]
    if not names:
        raise UsageError(
            f"model.name: {type(network).__name__} of timm has no single last layer to train.",
            "Take another network.",
        )
    return names[-1]


def _torchvision_names() -> list[str]:
    names: list[str] = models.list_models(module=models)
    return names


def _load_torchvision(network: nn.Module, name: str, image_size: int) -> None:
    source = models.get_model(name, weights="DEFAULT")
    last = classifier_name(source)
    weights = {
        key: value
        for key, value in source.state_dict().items()
        if not key.startswith((f"{last}.", "AuxLogits."))
    }
    if name.startswith("vit_"):
        # Its positions are learnt for one size of images; for others they are interpolated.
        models.vision_transformer.interpolate_embeddings(image_size, source.patch_size, weights)
    missing, unexpected = network.load_state_dict(weights, strict=False)
    assert not unexpected and all(key.startswith(f"{last}.") for key in missing)


def _check_timm(name: str, pretrained: bool) -> None:
    import timm

    if not timm.is_model(name):
        raise UsageError(
            f"model.name: timm {timm.__version__} has no network '{name}'.",
            suggest(name, timm.list_models(), "networks"),
        )
    architecture, _, tag = name.partition(".")
    tags = timm.list_pretrained(f"{architecture}.*") if tag else ()
    if tag and name not in tags:
        raise UsageError(
            f"model.name: timm {timm.__version__} has no weights '{tag}' of {architecture}.",
            suggest(name, tags, "weights"),
        )
    if pretrained and not timm.is_model_pretrained(name):
        raise UsageError(
            f"model.pretrained: timm has no pretrained weights for {name}.",
            "Set pretrained: false, or take another network.",
        )


def _make_timm(name: str, classes: int, image_size: int, pretrained: bool) -> nn.Module:
    import timm

    config = timm.get_pretrained_cfg(name)
    options: dict[str, Any] = {}
    if config is not None and config.fixed_input_size:
        options = {"img_size": image_size}
    try:
        network = timm.create_model(name, pretrained, num_classes=classes, **options)
    except TypeError:
        # Some are made for one size and can't be told another.
        network = timm.create_model(name, pretrained, num_classes=classes)
    assert isinstance(network, nn.Module)
    return network


@contextlib.contextmanager
def _fetching(name: str) -> Iterator[None]:
    """Downloads end in errors that say what to do, and torch.load reads tensors only."""
    variable = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(variable)
    os.environ[variable] = "1"
    try:
        yield
    except pickle.UnpicklingError as error:
        raise RunError(
            f"The pretrained weights of {name} are damaged, or hold more than tensors.",
            "Remove the file from the download cache (TORCH_HOME, HF_HOME), and start again.",
        ) from error
    except (OSError, RuntimeError, ValueError, EOFError, transport_error()) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise RunError(
            f"The pretrained weights of {name} can't be had: {lines[0]}",
            "Connect, or copy them from another machine's download cache (TORCH_HOME for "
            "torchvision, HF_HOME for timm), or set model.pretrained=false.",
        ) from error
    finally:
        if before is None:
            del os.environ[variable]
        else:
            os.environ[variable] = before
