"""ResNet v1.5 and ReActNet-A in PyTorch, with the published names of their parameters.

ResNet: https://arxiv.org/abs/1512.03385, with the stride of a bottleneck in its 3x3.
ReActNet: https://arxiv.org/abs/2003.03488.
Binary weights: XNOR-Net, https://arxiv.org/abs/1603.05279.
Gradient of sign: Bi-Real Net, https://arxiv.org/abs/1808.00278.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional as F


class SignActivation(torch.autograd.Function):
    """sign(x), with the slope 2 - 2|x| inside (-1, 1)."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.sign(x)

    @staticmethod
    def backward(ctx, upstream):
        (x,) = ctx.saved_tensors
        return upstream * torch.clamp(2 - 2 * x.abs(), min=0)


class SignWeight(torch.autograd.Function):
    """The mean magnitude of each output channel times sign(w); slope 1 within [-1, 1]."""

    @staticmethod
    def forward(ctx, weight):
        ctx.save_for_backward(weight)
        return weight.abs().mean(dim=(1, 2, 3), keepdim=True) * torch.sign(weight)

    @staticmethod
    def backward(ctx, upstream):
        (weight,) = ctx.saved_tensors
        return upstream * (weight.abs() <= 1)


class Shift(nn.Module):
    """A learned constant for each channel."""

    def __init__(self, channels: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x):
        return x + self.bias


class Convolution(nn.Module):
    """A convolution without bias; its weights are binary in step 2."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int, *, binary: bool):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, inputs, size, size))
        self.stride, self.padding, self.binary = stride, size // 2, binary

    def forward(self, x):
        weight = SignWeight.apply(self.weight) if self.binary else self.weight
        return F.conv2d(x, weight, stride=self.stride, padding=self.padding)


class ReActBlock(nn.Module):
    """Two binary convolutions, 3x3 and 1x1, each with its shortcut.

    The published files hold both forms of the 1x1 in every block, and one of them runs.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, *, binary: bool):
        super().__init__()
        self.doubles = outputs == 2 * inputs
        assert self.doubles or outputs == inputs
        self.move11 = Shift(inputs)
        self.binary_3x3 = Convolution(inputs, inputs, 3, stride, binary=binary)
        self.bn1 = nn.BatchNorm2d(inputs)
        self.move12, self.prelu1, self.move13 = Shift(inputs), nn.PReLU(inputs), Shift(inputs)
        self.move21 = Shift(inputs)
        self.binary_pw = Convolution(inputs, outputs, 1, 1, binary=binary)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.move22, self.prelu2, self.move23 = Shift(outputs), nn.PReLU(outputs), Shift(outputs)
        self.binary_pw_down1 = Convolution(inputs, inputs, 1, 1, binary=binary)
        self.binary_pw_down2 = Convolution(inputs, inputs, 1, 1, binary=binary)
        self.bn2_1, self.bn2_2 = nn.BatchNorm2d(inputs), nn.BatchNorm2d(inputs)
        self.shortcut = nn.AvgPool2d(2) if stride == 2 else nn.Identity()

    def forward(self, x):
        y = self.bn1(self.binary_3x3(SignActivation.apply(self.move11(x))))
        x = self.move13(self.prelu1(self.move12(y + self.shortcut(x))))
        signs = SignActivation.apply(self.move21(x))
        if self.doubles:
            halves = (
                self.bn2_1(self.binary_pw_down1(signs)) + x,
                self.bn2_2(self.binary_pw_down2(signs)) + x,
            )
            x = torch.cat(halves, dim=1)
        else:
            x = self.bn2(self.binary_pw(signs)) + x
        return self.move23(self.prelu2(self.move22(x)))


class ReActNet(nn.Module):
    """ReActNet-A, from images to features and then through `fc` to an embedding or classes."""

    CHANNELS = (32, 64, 128, 128, 256, 256, *[512] * 6, 1024, 1024)

    def __init__(self, *, binary: bool, width: float = 1.0, fc: nn.Module | None = None):
        super().__init__()
        channels = [round(width * count) for count in self.CHANNELS]
        stem = OrderedDict(
            conv1=nn.Conv2d(3, channels[0], 3, stride=2, padding=1, bias=False),
            bn1=nn.BatchNorm2d(channels[0]),
        )
        self.feature = nn.Sequential(nn.Sequential(stem))
        for index, (inputs, outputs) in enumerate(zip(channels[:-1], channels[1:], strict=True)):
            stride = 2 if outputs != inputs and index > 0 else 1
            self.feature.append(ReActBlock(inputs, outputs, stride, binary=binary))
        self.features = channels[-1]
        self.fc = fc or nn.Identity()

    def forward(self, images):
        return self.fc(self.feature(images).mean(dim=(2, 3)))


class ResNetBlock(nn.Module):
    """Two 3x3 convolutions, or a bottleneck of 1x1, 3x3 and 1x1; the first 3x3 has the stride."""

    def __init__(self, inputs: int, channels: int, stride: int, *, bottleneck: bool):
        super().__init__()
        outputs = 4 * channels if bottleneck else channels
        sizes = (1, 3, 1) if bottleneck else (3, 3)
        strided = 2 if bottleneck else 1
        widths = (inputs, *[channels] * (len(sizes) - 1), outputs)
        self.count = len(sizes)
        for index, size in enumerate(sizes, 1):
            step = stride if index == strided else 1
            conv = nn.Conv2d(
                widths[index - 1], widths[index], size, step, padding=size // 2, bias=False
            )
            self.add_module(f"conv{index}", conv)
            self.add_module(f"bn{index}", nn.BatchNorm2d(widths[index]))
        self.downsample = None
        if stride != 1 or inputs != outputs:
            conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = x
        for index in range(1, self.count + 1):
            y = getattr(self, f"bn{index}")(getattr(self, f"conv{index}")(y))
            y = F.relu(y) if index < self.count else y
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """ResNet v1.5, from images to features and then through `fc` to an embedding or classes."""

    DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}

    def __init__(self, depth: int, *, width: float = 1.0, small: bool = False, fc=None):
        super().__init__()
        bottleneck, base = depth >= 50, round(64 * width)
        self.conv1 = nn.Conv2d(3, base, *((3, 1, 1) if small else (7, 2, 3)), bias=False)
        self.bn1 = nn.BatchNorm2d(base)
        self.pool = nn.Identity() if small else nn.MaxPool2d(3, 2, padding=1)
        inputs = base
        for stage, count in enumerate(self.DEPTHS[depth]):
            blocks = []
            for index in range(count):
                stride = 2 if stage and not index else 1
                blocks.append(ResNetBlock(inputs, base << stage, stride, bottleneck=bottleneck))
                inputs = (base << stage) * (4 if bottleneck else 1)
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.features = inputs
        self.fc = fc or nn.Identity()

    def forward(self, images):
        x = self.pool(F.relu(self.bn1(self.conv1(images))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean(dim=(2, 3)))


def mlp(features: int, dim: int, hidden: int | None = None) -> nn.Sequential:
    """MoCo v2's head."""
    hidden = hidden or features
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, dim))
