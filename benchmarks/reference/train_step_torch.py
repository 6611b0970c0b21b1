"""The same training step in PyTorch, eager or compiled, written for this comparison only.

    python train_step_torch.py [--objective distillation|both] [--precision float32|bfloat16]

Needs `pip install torch numpy`. ReActNet-A student, ResNet-50 teacher, 224 pixels, Adam. Makes one
step at once and one for each line of standard input, and prints a JSON object for each: its seconds
and the peak of resident memory so far.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5)
BLOCKS = (*BLOCKS, (1024, 2), (1024, 1))


class Sign(torch.autograd.Function):
    """sign(x) with the gradient of its piecewise-quadratic approximation."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.where(x >= 0, 1.0, -1.0)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * (2 - 2 * x.abs()).clamp_(min=0)


class BinaryWeight(torch.autograd.Function):
    """The mean magnitude per output channel times the sign; gradients pass within [-1, 1]."""

    @staticmethod
    def forward(ctx, w):
        ctx.save_for_backward(w)
        scale = w.abs().mean(dim=(1, 2, 3), keepdim=True).clamp(min=1e-6)
        return torch.where(w >= 0, scale, -scale)

    @staticmethod
    def backward(ctx, gradient):
        (w,) = ctx.saved_tensors
        return gradient * (w.abs() <= 1)


class Bias(nn.Module):
    """A learned shift per channel."""

    def __init__(self, channels):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x):
        return x + self.bias


class BinaryConv(nn.Module):
    """A convolution of signs with binary weights."""

    def __init__(self, inputs, outputs, size, stride=1):
        super().__init__()
        self.bias = Bias(inputs)
        self.stride, self.padding = stride, size // 2
        self.weight = nn.Parameter(torch.empty(outputs, inputs, size, size))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x):
        weight = BinaryWeight.apply(self.weight)
        return F.conv2d(Sign.apply(self.bias(x)), weight, None, self.stride, self.padding)


def rprelu(channels):
    return nn.Sequential(Bias(channels), nn.PReLU(channels), Bias(channels))


class Block(nn.Module):
    """A binary 3x3 and a binary 1x1 convolution with a shortcut around each."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv3, self.bn1 = BinaryConv(inputs, inputs, 3, stride), nn.BatchNorm2d(inputs)
        self.conv1, self.bn2 = BinaryConv(inputs, outputs, 1), nn.BatchNorm2d(outputs)
        self.act1, self.act2 = rprelu(inputs), rprelu(outputs)
        self.pool = nn.AvgPool2d(2) if stride == 2 else nn.Identity()
        self.double = outputs == 2 * inputs

    def forward(self, x):
        x = self.act1(self.bn1(self.conv3(x)) + self.pool(x))
        shortcut = torch.cat([x, x], dim=1) if self.double else x
        return self.act2(self.bn2(self.conv1(x)) + shortcut)


def head(features):
    return nn.Sequential(nn.Linear(features, features), nn.ReLU(), nn.Linear(features, 128))


def reactnet():
    layers, inputs = [nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32)], 32
    for outputs, stride in BLOCKS:
        layers.append(Block(inputs, outputs, stride))
        inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head(inputs))


class Bottleneck(nn.Module):
    """The block of ResNet v1.5."""

    def __init__(self, inputs, width, stride):
        super().__init__()
        outputs = 4 * width

        def conv(a, b, size, stride=1):
            layer = nn.Conv2d(a, b, size, stride, size // 2, bias=False)
            return [layer, nn.BatchNorm2d(b)]

        self.body = nn.Sequential(
            *conv(inputs, width, 1),
            nn.ReLU(inplace=True),
            *conv(width, width, 3, stride),
            nn.ReLU(inplace=True),
            *conv(width, outputs, 1),
        )
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else nn.Sequential(*conv(inputs, outputs, 1, stride))

    def forward(self, x):
        return F.relu(self.body(x) + self.shortcut(x), inplace=True)


def resnet50():
    layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)]
    layers.append(nn.MaxPool2d(3, 2, 1))
    inputs = 64
    for stage, depth in enumerate((3, 4, 6, 3)):
        for index in range(depth):
            stride = 2 if stage > 0 and index == 0 else 1
            layers.append(Bottleneck(inputs, 64 * 2**stage, stride))
            inputs = 256 * 2**stage
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head(inputs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objective", choices=["distillation", "both"], default="distillation")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--compile", action="store_true", help="compile the networks by inductor")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    layout = torch.channels_last if arguments.channels_last else torch.contiguous_format
    student = reactnet().to(memory_format=layout).train()
    teacher = resnet50().to(memory_format=layout).eval().requires_grad_(False)
    both = arguments.objective == "both"
    if both:
        momentum_encoder = reactnet().to(memory_format=layout).train().requires_grad_(False)
        momentum_encoder.load_state_dict(student.state_dict())
        queue, position = F.normalize(torch.randn(65536, 128), dim=1), 0
    if arguments.compile:
        student, teacher = torch.compile(student), torch.compile(teacher)
        if both:
            momentum_encoder = torch.compile(momentum_encoder)
    optimizer = torch.optim.Adam(student.parameters(), lr=3e-4)
    size, temperature = arguments.batch_size, 0.2
    views = [torch.randn(size, 3, 224, 224).to(memory_format=layout) for _ in range(2)]
    half = torch.autocast("cpu", torch.bfloat16, enabled=arguments.precision == "bfloat16")
    for _ in itertools.chain([""], sys.stdin):
        begin = time.perf_counter()
        if both:
            with torch.no_grad(), half:
                for theirs, ours in zip(momentum_encoder.parameters(), student.parameters()):
                    theirs.mul_(0.999).add_(ours, alpha=0.001)
                key = F.normalize(momentum_encoder(views[1]).float(), dim=1)
        with torch.no_grad(), half:
            target = F.normalize(teacher(views[0]).float(), dim=1)
        with half:
            query = F.normalize(student(views[0]).float(), dim=1)
        p = (target / temperature).softmax(dim=1)
        loss = -(p * (query / temperature).log_softmax(dim=1)).sum(dim=1).mean()
        if both:
            logits = torch.cat([(query * key).sum(1, keepdim=True), query @ queue.T], 1)
            zeros = torch.zeros(size, dtype=torch.long)
            loss = loss + F.cross_entropy(logits / temperature, zeros)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if both:
            queue[position : position + size] = key
            position = (position + size) % len(queue)
        seconds = time.perf_counter() - begin
        peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        print(json.dumps({"seconds": seconds, "peak_mb": peak}), flush=True)


if __name__ == "__main__":
    main()
