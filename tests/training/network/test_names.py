import importlib.machinery
import importlib.util
import sys

import pytest
from torchvision import models

from synfill.config.recipes.settings import ModelSettings
from synfill.training.network.cifar import CifarResNets
from synfill.training.network.names import find_kind, network_problem
from synfill.training.network.torchvision_models import torchvision_names


def find_problem(name, pretrained=False):
    return network_problem(ModelSettings(name=name, pretrained=pretrained))


def test_torchvisions_source_names_what_torchvision_names():
    assert set(torchvision_names()) == set(models.list_models(module=models))


def test_names_that_are_right():
    for name in ("resnet8", "resnet20", "resnet110", "resnet1202", "resnet50", "vit_b_16"):
        assert find_problem(name) is None
    assert find_problem("resnet50", True) is None
    kinds = [find_kind(f"resnet{n}") for n in (2, 8, 9, 50, 152, "08", 1208)]
    assert [kind and kind.name for kind in kinds] == [
        None, "cifar-resnet", None, "torchvision", "torchvision", None, None,
    ]  # fmt: skip


def test_no_two_kinds_have_a_name_in_common():
    assert not any(CifarResNets().has(name) for name in torchvision_names())


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("resnet33", "Did you mean 'resnet32'?"),
        ("ResNet18", "Did you mean 'resnet18'?"),
        ("resnet-100", "Did you mean 'resnet101'?"),
        ("ResNeXt50_32x4d", "Did you mean 'resnext50_32x4d'?"),
        ("resnet99999", "Known networks: resnet8,"),
        ("../x", "Known networks: resnet8,"),
    ],
)
def test_the_nearest_name(name, hint):
    problem = find_problem(name)
    assert problem.key == "name" and problem.message == f"there is no network '{name}'"
    assert hint in problem.hint


def test_pretrained_weights_of_a_cifar_resnet():
    problem = find_problem("resnet32", True)
    assert problem.key == "pretrained" and "no pretrained weights for resnet32" in problem.message


def test_timm_is_there_or_not(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    assert "needs timm, which isn't installed" in find_problem("timm:any", True).message


def test_a_torchvision_without_source_is_asked_itself(tmp_path, monkeypatch):
    spec = importlib.machinery.ModuleSpec("torchvision", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path / "some.zip" / "torchvision")]
    for found in (spec, None):
        torchvision_names.cache_clear()
        with monkeypatch.context() as patch:
            patch.setattr(importlib.util, "find_spec", lambda name, found=found: found)
            assert find_problem("vit_b_16") is None
            assert "no network 'vit_b_61'" in find_problem("vit_b_61").message
    torchvision_names.cache_clear()
