"""ResNets for small images: He et al. 2016, "Deep Residual Learning for Image Recognition", 4.2.

Three groups of n blocks of two 3x3 convolutions, with 16, 32 and 64 channels, the second and third
group at half the resolution of the one before: 6n + 2 layers. The shortcuts have no parameters
("option A"): where the shape changes, every other pixel is taken and zero channels are added.
Convolutions start from He's normal distribution, the classifier from torch's own for a linear
layer, so that a classifier started afresh is drawn from the same one.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

WIDTHS = (16, 32, 64)


class Block(nn.Module):
    """Two 3x3 convolutions and the shortcut past them.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
        stride: 2 halves the resolution.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride = stride
        self.added = outputs - inputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Float (b, inputs, h, w) to (b, outputs, ceil(h / stride), ceil(w / stride))."""
        out = F.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.bn2(self.conv2(out))
        if self.stride != 1:
            x = x[:, :, :: self.stride, :: self.stride]
        if self.added:
            x = F.pad(x, (0, 0, 0, 0, self.added // 2, self.added - self.added // 2))
        return F.relu(out + x, inplace=True)


class CifarResNet(nn.Module):
    """The network; the classifier is `fc`.

    Args:
        depth: Its layers, 6n + 2.
        classes: Outputs.
    """

    def __init__(self, depth: int, classes: int) -> None:
        super().__init__()
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.layer1 = _group(WIDTHS[0], WIDTHS[0], blocks, stride=1)
        self.layer2 = _group(WIDTHS[0], WIDTHS[1], blocks, stride=2)
        self.layer3 = _group(WIDTHS[1], WIDTHS[2], blocks, stride=2)
        self.fc = nn.Linear(WIDTHS[2], classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Float images (b, 3, h, w) of any size to logits (b, classes)."""
        x = F.relu(self.bn1(self.conv1(images)), inplace=True)
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: torch.Tensor = self.fc(x.mean(dim=(2, 3)))
        return logits


def _group(inputs: int, outputs: int, blocks: int, stride: int) -> nn.Sequential:
    first = Block(inputs, outputs, stride)
    return nn.Sequential(first, *(Block(outputs, outputs, 1) for _ in range(blocks - 1)))
