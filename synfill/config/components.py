"""Everything that a user chooses by name: one registry a kind, one line a component.

A line is the component's name and where it is; its file holds its options and its code. Help
texts, `synfill recipes`, the docs' tables and the suggestions in error messages list these.
"""

from __future__ import annotations

from synfill.config.registry import Registry

NETWORKS = Registry(
    "kind of networks",
    "kinds of networks",
    {
        "cifar-resnet": "synfill.training.network.cifar:CifarResNets",
        "torchvision": "synfill.training.network.torchvision_models:TorchvisionModels",
        "timm": "synfill.training.network.timm_models:TimmModels",
    },
)
