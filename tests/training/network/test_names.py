import importlib.machinery
import importlib.util
import sys

import pytest
from torchvision import models

from synfill.training.network.names import cifar_depth, network_problem, torchvision_names


def test_torchvisions_source_names_what_torchvision_names():
    assert torchvision_names() == set(models.list_models(module=models))


def test_names_that_are_right():
    for name in ("resnet8", "resnet20", "resnet110", "resnet1202", "resnet50", "vit_b_16"):
        assert network_problem(name, False, torchvision_names()) is None
    assert network_problem("resnet50", True, torchvision_names()) is None
    assert [cifar_depth(f"resnet{n}") for n in (2, 8, 9, 50, "08", 1208)] == [
        None, 8, None, 50, None, None,
    ]  # fmt: skip


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
    problem = network_problem(name, False, torchvision_names())
    assert problem.key == "name" and problem.message == f"there is no network '{name}'"
    assert hint in problem.hint


def test_pretrained_weights_of_a_cifar_resnet():
    problem = network_problem("resnet32", True, torchvision_names())
    assert problem.key == "pretrained" and "no pretrained weights for resnet32" in problem.message


def test_timm_is_there_or_not(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    problem = network_problem("timm:any", True, torchvision_names())
    assert "needs timm, which isn't installed" in problem.message


def test_a_torchvision_without_source_refuses_no_name(tmp_path, monkeypatch):
    spec = importlib.machinery.ModuleSpec("torchvision", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path / "some.zip" / "torchvision")]
    for found in (spec, None):
        torchvision_names.cache_clear()
        with monkeypatch.context() as patch:
            patch.setattr(importlib.util, "find_spec", lambda name, found=found: found)
            names = torchvision_names()
        assert not names
        assert network_problem("whatever", True, names) is None
    torchvision_names.cache_clear()
