"""The network of a run: built from its name and a seed, and which of it is trained.

All functions take the bare network: compile or distribute it afterwards, as wrappers rename its
parts. Pretrained weights are read as tensors only: no code in a downloaded file is ever run.
Nothing here knows of data or of stages.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import pickle
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import torch
from torch import nn

from synfill.config.recipes.settings import ModelSettings
from synfill.devices import is_out_of_memory
from synfill.errors import RunError, SynfillError, UsageError, suggest
from synfill.hub.failures import transport_error
from synfill.records import Channels
from synfill.training.network.base import NetworkKind
from synfill.training.network.names import find_kind, network_problem

_USUAL_SIZES: Final = (32, 64, 96, 128, 160, 192, 224, 256, 299, 320, 384, 448, 512)


def check_model(settings: ModelSettings) -> None:
    """Whether there is such a network; nothing is built or fetched.

    Raises:
        UsageError: Unknown (the hint has the nearest name), timm isn't installed, or there are no
            pretrained weights.
    """
    problem = network_problem(settings) or _kind_of(settings).inspect(settings)
    if problem is not None:
        raise UsageError(f"model.{problem.key}: {problem.message}.", problem.hint)


def build_model(settings: ModelSettings, classes: int, image_size: int, seed: int) -> nn.Module:
    """The network on the CPU, in training mode: float images (b, 3, S, S) to logits (b, classes).

    The same seed gives the same weights, and torch's global generator is left as it was. With
    pretrained weights only the classifier is random.

    Args:
        settings: Which network.
        classes: How many classes.
        image_size: S, the side of the images in pixels.
        seed: Of the random weights.

    Raises:
        UsageError: There is no such network, it can't take images of this size, or it is no
            classifier.
        RunError: The pretrained weights can't be had, or the network fails for another reason.
    """
    check_model(settings)
    # Before anything is fetched: what a wrong size costs is seconds then, not gigabytes.
    network = _build_fitting(settings, classes, image_size, seed)
    classifier = classifier_name(network)
    if settings.pretrained:
        with _seeded(seed), _fetching(settings.name):
            kind = _kind_of(settings)
            network = kind.load_pretrained(network, settings, classifier, image_size)
    return network.train()


def rebuild_model(settings: ModelSettings, classes: int, image_size: int) -> nn.Module:
    """The network without its weights, which are then read from a file: as build_model gives it,
    but nothing is fetched.

    Raises:
        UsageError: There is no such network, it can't take images of this size, or it is no
            classifier.
        RunError: The network fails for another reason.
    """
    # Whether there are pretrained weights to be had plays no part any more.
    check_model(settings.model_copy(update={"pretrained": False}))
    return _build_fitting(settings, classes, image_size, seed=0)


def pretrained_statistics(settings: ModelSettings) -> tuple[Channels, Channels] | None:
    """Mean and standard deviation of the images that pretrained weights were trained on.

    Returns:
        Of each channel (RGB), in 0..1; None where the network starts from random weights, and is
        shown images by their own mean and standard deviation.
    """
    return _kind_of(settings).statistics(settings.name) if settings.pretrained else None


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


def reinit_classifier(model: nn.Module, seed: int) -> None:
    """Give the last layer fresh random weights, as torch initializes such a layer."""
    layer: Any = model.get_submodule(classifier_name(model))
    with _seeded(seed):
        layer.reset_parameters()


def choose_trainable(model: nn.Module, trainable: str | Sequence[str]) -> None:
    """Set requires_grad of every parameter.

    Args:
        model: The network.
        trainable: "all"; "classifier", the last layer; or shell patterns of the names of modules
            and parameters ("layer4.*"), matched with case. A module stands for all in it.

    Raises:
        UsageError: A pattern matches nothing that has parameters.
    """
    if trainable == "all":
        model.requires_grad_(True)
        return
    if trainable == "classifier":
        model.requires_grad_(False)
        model.get_submodule(classifier_name(model)).requires_grad_(True)
        return
    chosen: set[str] = set()
    for pattern in trainable:
        matched = {
            name
            for name, _ in model.named_parameters()
            if any(fnmatch.fnmatchcase(part, pattern) for part in _with_parents(name))
        }
        if not matched:
            raise UsageError(
                f"trainable: the pattern '{pattern}' matches no part of the network.",
                suggest(pattern, _parts(model), "parts"),
            )
        chosen |= matched
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in chosen)


def trainable_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that choose_trainable left trainable, in the network's order."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def freeze_statistics(model: nn.Module) -> None:
    """Put what isn't trained into evaluation mode; to be called after every model.train().

    A module is frozen if it has parameters and none is trained: BatchNorm neither updates its
    statistics nor uses the batch's. What has no parameters (dropout, stochastic depth) follows
    what it stands in: it stays active where all of that is trained, and that is more than the
    classifier, so that a classifier trained alone always sees the same features of an image.
    """
    last = model.get_submodule(classifier_name(model))
    _freeze(model, {id(parameter) for parameter in last.parameters()}, active=False)


def copy_tensors(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Each tensor of its own, on the CPU: safetensors holds none twice, and networks tie theirs."""
    return {
        name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()
    }


def learns_from_one(model: nn.Module, image_size: int) -> bool:
    """Whether what is trainable now can be trained on one image at a time: BatchNorm can't where
    it gets one value a channel.

    Args:
        model: The network, after choose_trainable; its BatchNorm statistics are spoiled.
        image_size: Side of the images in pixels.
    """
    model.train()
    freeze_statistics(model)
    with _seeded(0), torch.no_grad():
        try:
            model(torch.zeros(1, 3, image_size, image_size))
        except ValueError:
            return False
    return True


def _freeze(module: nn.Module, last: set[int], active: bool) -> None:
    parameters = list(module.parameters())
    if parameters:
        whole = all(parameter.requires_grad for parameter in parameters)
        active |= whole and any(id(parameter) not in last for parameter in parameters)
    if not active and not any(parameter.requires_grad for parameter in parameters):
        module.training = False
    for child in module.children():
        _freeze(child, last, active)


def _with_parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: k + 1]) for k in range(len(parts))]


def _parts(model: nn.Module) -> list[str]:
    """Names of modules with parameters, the outermost first."""
    names = [
        name for name, m in model.named_modules() if name and any(True for _ in m.parameters())
    ]
    return sorted(names, key=lambda name: name.count("."))


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    # Networks are made on the CPU; torch.manual_seed would reseed the GPUs' generators as well.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def make_network(settings: ModelSettings, classes: int, image_size: int) -> nn.Module:
    """A network with fresh random weights; see `NetworkKind.build`."""
    return _kind_of(settings).build(settings, classes, image_size)


def _kind_of(settings: ModelSettings) -> NetworkKind:
    kind = find_kind(settings.name)
    assert kind is not None  # check_model has seen to it
    return kind


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


def _build_fitting(settings: ModelSettings, classes: int, image_size: int, seed: int) -> nn.Module:
    try:
        with _seeded(seed):
            network = make_network(settings, classes, image_size)
        _pass_image(network, classes, image_size)
    except Exception as error:
        raise _explain_failure(error, settings, classes, image_size) from error
    return network


def _explain_failure(
    error: Exception, settings: ModelSettings, classes: int, image_size: int
) -> SynfillError:
    """Why a network fails at its first image: for want of memory, because of the image's size (the
    same code takes another one), or for a reason of its own.
    """
    name = settings.name
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".!")
    size = f"{image_size} x {image_size} pixels"
    if is_out_of_memory(error):
        return RunError(
            f"There isn't enough memory for {name} and one image of {size}.",
            "Set a smaller data.image_size, or take a smaller network.",
        )
    nearest = sorted(_USUAL_SIZES, key=lambda usual: (usual < image_size, abs(usual - image_size)))
    others = [usual for usual in nearest if usual != image_size]
    fitting = next((other for other in others if _fits(settings, classes, other)), None)
    if fitting is not None:
        return UsageError(
            f"{name} can't take images of {size}: {reason}.",
            f"Set data.image_size, to {fitting} for example, or take another network.",
        )
    if isinstance(error, _NoClassifierError):
        return UsageError(
            f"model.name: {name} is no classifier of images: {reason}.", "Take another network."
        )
    return RunError(
        f"{name} fails at its first image, of whatever size: {type(error).__name__}: {reason}.",
        "Take another network, or other versions of the library that it is from.",
    )


class _NoClassifierError(ValueError):
    """A network gives something else than one number a class."""


def _fits(settings: ModelSettings, classes: int, image_size: int) -> bool:
    try:
        with torch.device("meta"):
            _pass_image(make_network(settings, classes, image_size), classes, image_size)
    except Exception:
        return False
    return True


def _pass_image(network: nn.Module, classes: int, image_size: int) -> None:
    """Pass one image through the network, through its shapes alone if they tell enough."""
    held = [*network.named_parameters(), *network.named_buffers()]
    shapes = {name: tensor.detach().to("meta") for name, tensor in held}
    image = torch.empty(1, 3, image_size, image_size, device="meta")
    network.eval()
    with torch.no_grad():
        try:
            logits = torch.func.functional_call(network, shapes, (image,))
        except Exception:
            # Some can't do without numbers: whether it was that shows when there are some.
            logits = network(torch.zeros_like(image, device="cpu"))
    if not isinstance(logits, torch.Tensor):
        raise _NoClassifierError(f"it gives a {type(logits).__name__}")
    if logits.shape != (1, classes):
        raise _NoClassifierError(f"it gives an output of shape {tuple(logits.shape)}")
