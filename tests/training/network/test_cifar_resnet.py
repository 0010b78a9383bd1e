"""The CIFAR ResNets against the paper's figures."""

import pytest
import torch

from synfill.training.network.cifar_resnet import Block, CifarResNet


@pytest.mark.parametrize(
    ("depth", "parameters", "millions"),
    [
        (20, 269_722, "0.27"),
        (32, 464_154, "0.46"),
        (44, 658_586, "0.66"),
        (56, 853_018, "0.85"),
        (110, 1_727_962, "1.7"),
    ],
)
def test_parameters_as_in_the_paper(depth, parameters, millions):
    """He et al. 2016, table 6, gives them in millions."""
    network = CifarResNet(depth, classes=10)
    assert sum(p.numel() for p in network.parameters()) == parameters
    decimals = len(millions.partition(".")[2])
    assert f"{parameters / 1e6:.{decimals}f}" == millions
    layers = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    assert len(layers) == depth


def test_the_shortcut_takes_every_other_pixel_and_adds_zero_channels():
    block = Block(2, 6, stride=2).eval()
    torch.nn.init.zeros_(block.conv2.weight)
    images = torch.rand(1, 2, 5, 4)
    out = block(images)
    assert torch.equal(out[:, 2:4], images[:, :, ::2, ::2])
    assert not out[:, :2].any() and not out[:, 4:].any()


@pytest.mark.parametrize("size", [8, 28, 33, 64])
def test_any_image_size(size):
    network = CifarResNet(8, classes=3)
    features = network.layer3(
        network.layer2(network.layer1(network.conv1(torch.rand(2, 3, size, size))))
    )
    quarter = -(-size // 4)
    assert features.shape == (2, 64, quarter, quarter)
    assert network(torch.rand(2, 3, size, size)).shape == (2, 3)


def test_signal_keeps_its_scale_through_many_layers():
    """Kaiming's initialization: in 56 layers nothing vanishes or explodes."""
    torch.manual_seed(0)
    logits = CifarResNet(56, classes=10)(torch.randn(8, 3, 32, 32))
    assert 0.05 < logits.std().item() < 10
