"""Networks by name; which part of them is trained, and what is frozen with the rest."""

import pickle
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision import models

from synfill.config.recipes.settings import ModelSettings
from synfill.errors import RunError, UsageError
from synfill.training.network.model import (
    build_model,
    check_model,
    choose_trainable,
    classifier_name,
    freeze_statistics,
    learns_from_one,
    pretrained_statistics,
    rebuild_model,
    reinit_classifier,
    trainable_parameters,
)

CLASSES = 5
needs_timm = pytest.mark.skipif(find_spec("timm") is None, reason="timm isn't installed")

# The smallest of each family, and a size near the smallest that it takes.
FAMILIES = {
    "resnet8": (32, "fc"),
    "resnet18": (32, "fc"),
    "resnext50_32x4d": (32, "fc"),
    "alexnet": (64, "classifier.6"),
    "vgg11_bn": (32, "classifier.6"),
    "squeezenet1_1": (32, "classifier.1"),
    "densenet121": (32, "classifier"),
    "googlenet": (32, "fc"),
    "inception_v3": (80, "fc"),
    "shufflenet_v2_x0_5": (32, "fc"),
    "mobilenet_v2": (32, "classifier.1"),
    "mobilenet_v3_small": (32, "classifier.3"),
    "mnasnet0_5": (32, "classifier.1"),
    "efficientnet_b0": (32, "classifier.1"),
    "efficientnet_v2_s": (32, "classifier.1"),
    "regnet_x_400mf": (32, "fc"),
    "convnext_tiny": (32, "classifier.2"),
    "swin_t": (32, "head"),
    "swin_v2_t": (32, "head"),
    "maxvit_t": (224, "classifier.5"),
    "vit_b_32": (64, "heads.head"),
}


def build(name, size=32, seed=0, **settings):
    return build_model(ModelSettings(name=name, **settings), CLASSES, size, seed)


def trainable_names(model):
    return {name for name, p in model.named_parameters() if p.requires_grad}


def on_parts(model):
    """Modules in training mode."""
    return {name for name, module in model.named_modules() if module.training}


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family(name):
    size, classifier = FAMILIES[name]
    model = build(name, size)
    assert model.training and classifier_name(model) == classifier
    weight = f"{classifier}.weight"
    before = {k: v.clone() for k, v in model.state_dict().items()}
    reinit_classifier(model, seed=1)
    changed = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert {weight} <= changed <= {weight, f"{classifier}.bias"}

    choose_trainable(model, "classifier")
    last = {f"{classifier}.{k}" for k, _ in model.get_submodule(classifier).named_parameters()}
    assert weight in last and trainable_names(model) == last
    model.train()
    freeze_statistics(model)
    statistics = {k: v.clone() for k, v in model.named_buffers()}
    logits = model(torch.rand(2, 3, size, size))
    assert logits.shape == (2, CLASSES)
    assert all(torch.equal(v, statistics[k]) for k, v in model.named_buffers())
    model.eval()
    logits.sum().backward()
    assert {n for n, p in model.named_parameters() if p.grad is not None} == trainable_names(model)


def test_every_classifier_of_torchvision_is_known():
    names = models.list_models(module=models)
    assert len(names) >= 80
    for name in names:
        check_model(ModelSettings(name=name, pretrained=True))
        assert models.get_model_weights(name).DEFAULT


def test_deterministic_by_the_seed_and_nothing_else():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = build("resnet8").state_dict()
    torch.rand(3)
    second, third = build("resnet8").state_dict(), build("resnet8", seed=1).state_dict()
    torch.set_rng_state(state)
    model = build("resnet8")
    reinit_classifier(model, seed=7)
    once = model.fc.weight.clone()
    reinit_classifier(model, seed=7)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[k], second[k]) for k in first)
    assert not torch.equal(first["conv1.weight"], third["conv1.weight"])
    assert torch.equal(model.fc.weight, once) and not torch.equal(once, first["fc.weight"])


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("resnet21", "'resnet20'"),
        ("resnet33", "'resnet32'"),
        ("ResNet-32", "'resnet32'"),
        ("resnet2", "'resnet8'"),
        ("resnet20000", "Known networks"),
        ("mobilenet_v3_smal", "'mobilenet_v3_small'"),
        ("vit_b16", "'vit_b_16'"),
        ("fcn_resnet50", "timm:NAME"),
        ("../x", "Known networks"),
    ],
)
def test_unknown_names(name, hint):
    with pytest.raises(UsageError, match="no network") as raised:
        check_model(ModelSettings(name=name))
    assert hint in raised.value.hint


def test_fifty_layers_are_torchvisions():
    """50 = 6 * 8 + 2, but by that name everyone knows another network."""
    assert isinstance(build("resnet50"), models.ResNet)
    assert classifier_name(build("resnet26")) == "fc"
    with pytest.raises(UsageError, match="no pretrained weights for resnet32"):
        check_model(ModelSettings(name="resnet32", pretrained=True))


@pytest.mark.parametrize(
    ("name", "size", "fits"),
    [("alexnet", 32, 64), ("vit_b_32", 100, 128), ("maxvit_t", 64, 224), ("convnext_tiny", 28, 32)],
)
def test_a_size_that_does_not_fit(name, size, fits):
    with pytest.raises(UsageError, match=rf"{name} can't take images of {size} x {size}") as raised:
        build(name, size)
    assert f"data.image_size, to {fits} " in raised.value.hint


def test_patterns():
    model = build("resnet8")
    choose_trainable(model, ("layer3.*", "fc"))
    names = trainable_names(model)
    assert "layer3.0.bn2.weight" in names and "fc.bias" in names
    assert all(name.startswith(("layer3.", "fc.")) for name in names)
    assert len(trainable_parameters(model)) == len(names)
    choose_trainable(model, ("*.bn?",))
    assert {name.split(".")[-2] for name in trainable_names(model)} == {"bn1", "bn2"}
    choose_trainable(model, ("layer1", "conv1.weight"))
    assert "layer1.0.conv1.weight" in trainable_names(model)
    choose_trainable(model, "all")
    assert trainable_names(model) == {name for name, _ in model.named_parameters()}
    for wrong in ("layer4.*", "Layer3", ""):
        with pytest.raises(UsageError, match="matches no part") as raised:
            choose_trainable(model, ("fc", wrong))
        assert "layer3" in raised.value.hint


def test_what_is_frozen_with_the_parameters():
    model = build("resnet8")
    choose_trainable(model, ("layer3.*", "fc"))
    model.train()
    freeze_statistics(model)
    assert {"", "layer3", "layer3.0.bn1", "fc"} <= on_parts(model)
    assert all(name == "" or name.startswith(("layer3", "fc")) for name in on_parts(model))
    before = {k: v.clone() for k, v in model.named_buffers() if k.endswith("running_mean")}
    model(torch.rand(4, 3, 32, 32))
    buffers = dict(model.named_buffers())
    moved = {k for k, v in before.items() if not torch.equal(v, buffers[k])}
    assert moved == {k for k in before if k.startswith("layer3")}
    choose_trainable(model, "all")
    model.train()
    freeze_statistics(model)
    assert len(on_parts(model)) == len(list(model.modules()))


def test_what_learns_from_one_image():
    """BatchNorm can't where it is trained and has one value a channel."""
    assert not learns_from_one(build("resnet18"), 32)
    assert learns_from_one(build("resnet18", 64), 64) and learns_from_one(build("resnet8"), 32)
    frozen = build("resnet18")
    choose_trainable(frozen, "classifier")
    assert learns_from_one(frozen, 32)


def test_dropout_follows_what_it_stands_in():
    """A classifier trained alone must see the same features each time."""
    model = build("efficientnet_b0")
    images = torch.rand(2, 3, 32, 32)
    choose_trainable(model, "all")
    model.train()
    freeze_statistics(model)
    assert model.classifier[0].training and model.features[5][1].stochastic_depth.training
    choose_trainable(model, ("features.5.*", "classifier"))
    model.train()
    freeze_statistics(model)
    assert model.features[5][1].stochastic_depth.training
    assert not model.features[4][1].stochastic_depth.training
    choose_trainable(model, "classifier")
    model.train()
    freeze_statistics(model)
    assert not any(isinstance(m, nn.Dropout) and m.training for m in model.modules())
    assert torch.equal(model(images), model(images))


@pytest.fixture
def torch_home(monkeypatch, tmp_path):
    """A download cache of torch, where nothing can be downloaded to."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for proxy in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)

    def place(name):
        return folder / Path(models.get_model_weights(name).DEFAULT.url).name

    return place


@pytest.mark.parametrize(
    ("name", "size", "options"),
    [
        ("squeezenet1_1", 32, {}),
        ("inception_v3", 80, {"aux_logits": True, "init_weights": False}),
        ("googlenet", 32, {"aux_logits": True, "init_weights": False}),
        ("vit_b_32", 64, {}),
    ],
)
def test_pretrained_weights(name, size, options, torch_home):
    """From a file as the download leaves it; all but the classifier is taken."""
    torch.manual_seed(5)
    weights = models.get_model(name, weights=None, **options).state_dict()
    torch.save(weights, torch_home(name))
    model = build(name, size, pretrained=True)
    mine, last = model.state_dict(), f"{classifier_name(model)}."
    taken = [k for k in mine if not k.startswith(last) and k != "encoder.pos_embedding"]
    assert len(taken) > 20 and all(torch.equal(mine[k], weights[k]) for k in taken)
    fresh = build(name, size).state_dict()
    assert torch.equal(mine[f"{last}weight"], fresh[f"{last}weight"])
    if name == "vit_b_32":
        assert mine["encoder.pos_embedding"].shape == (1, 2 * 2 + 1, 768)


def test_rebuilt_without_fetching(torch_home):
    """What pretrained weights stand behind (GoogLeNet changes the input's scale) stays."""
    torch.save(
        models.googlenet(weights=None, aux_logits=True, init_weights=False).state_dict(),
        torch_home("googlenet"),
    )
    settings = ModelSettings(name="googlenet", pretrained=True)
    model = build_model(settings, CLASSES, 32, seed=0).eval()
    torch_home("googlenet").unlink()
    again = rebuild_model(settings, CLASSES, 32).eval()
    again.load_state_dict(model.state_dict())
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(again(images), model(images))


class Harmful:
    """What a pickle can do: call anything."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_pretrained_weights_that_cannot_be_had(torch_home, tmp_path):
    with pytest.raises(RunError, match="weights of resnet18 can't be had") as raised:
        build("resnet18", pretrained=True)
    assert "model.pretrained=false" in raised.value.hint
    file = torch_home("resnet18")
    file.write_bytes(pickle.dumps({"fc.weight": Harmful(tmp_path / "harm")}))
    with pytest.raises(RunError, match=r"weights of resnet18"):
        build("resnet18", pretrained=True)
    torch.save({"fc.weight": Harmful(tmp_path / "harm")}, file)
    with pytest.raises(RunError, match="hold more than tensors"):
        build("resnet18", pretrained=True)
    assert not (tmp_path / "harm").exists()
    torch.save({"conv1.weight": torch.zeros(1)}, file)
    with pytest.raises(RunError, match="resnet18"):
        build("resnet18", pretrained=True)


@needs_timm
def test_timm():
    model = build("timm:resnet10t")
    assert classifier_name(model) == "fc"
    assert torch.equal(model.fc.weight, build("timm:resnet10t").fc.weight)
    vit = build("timm:test_vit", 64)
    assert vit(torch.rand(2, 3, 64, 64)).shape == (2, CLASSES)
    choose_trainable(vit, "classifier")
    assert trainable_names(vit) == {"head.weight", "head.bias"}


@needs_timm
@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("resnet18x", "no network 'resnet18x'", "'resnet18'"),
        ("resnet18.a9_in1k", "no weights 'a9_in1k'", "resnet18.a1_in1k"),
        ("hf-hub:someone/model", "no network", "Known networks"),
        ("deit_tiny_distilled_patch16_224", "no single last layer", "another"),
    ],
)
def test_timm_names_that_will_not_do(name, message, hint):
    with pytest.raises(UsageError, match=message) as raised:
        build(f"timm:{name}")
    assert hint in raised.value.hint


@needs_timm
def test_timm_weights_that_cannot_be_had():
    """For real: the tests run with HF_HUB_OFFLINE=1."""
    with pytest.raises(RunError, match=r"weights of timm:resnet18\.a1_in1k can't be had"):
        build("timm:resnet18.a1_in1k", pretrained=True)
    with pytest.raises(UsageError, match="no pretrained weights for nf_resnet26"):
        check_model(ModelSettings(name="timm:nf_resnet26", pretrained=True))


def test_without_timm(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UsageError, match="needs timm, which isn't installed") as raised:
        check_model(ModelSettings(name="timm:resnet18"))
    assert "pip install" in raised.value.hint


def test_pretrained_networks_are_shown_images_as_they_were_trained_on_them():
    imagenet = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    assert pretrained_statistics(ModelSettings(name="resnet18", pretrained=True)) == imagenet
    # The one that was trained on others.
    other = ModelSettings(name="efficientnet_v2_l", pretrained=True)
    assert pretrained_statistics(other) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert pretrained_statistics(ModelSettings(name="resnet18")) is None


class _Failing(torch.nn.Module):
    """Fails in a way of its own, at whatever size or at all but one."""

    def __init__(self, error, takes=None, out=3):
        super().__init__()
        self.fc = torch.nn.Linear(1, out)
        self.error, self.takes = error, takes

    def forward(self, images):
        if images.shape[-1] != self.takes:
            raise self.error
        return self.fc(images.mean((1, 2, 3), keepdim=False)[:, None])


@pytest.mark.parametrize(
    ("network", "kind", "words"),
    [
        (_Failing(KeyError("rope")), RunError, "fails at its first image, of whatever size: KeyE"),
        (_Failing(RuntimeError("[enforce fail] not enough memory: x")), RunError, "enough memory"),
        (_Failing(MemoryError()), RunError, "enough memory for resnet8 and one image of 40 x 40"),
        (_Failing(AssertionError("odd"), takes=64), UsageError, "can't take images of 40 x 40"),
        (_Failing(ValueError(), takes=40, out=5), UsageError, "is no classifier.*shape \\(1, 5\\)"),
    ],
)
def test_only_what_is_the_sizes_fault_is_called_so(monkeypatch, network, kind, words):
    from synfill.training.network import model

    monkeypatch.setattr(model, "make_network", lambda settings, classes, size: network)
    with pytest.raises(kind, match=words):
        model.build_model(ModelSettings(name="resnet8"), 3, 40, 0)
