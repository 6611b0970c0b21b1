"""The weights of a Keras network, from the tensors of the same network in PyTorch."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from s2bnn_tf.layers import BinaryConv2D, RPReLU
from s2bnn_tf.torch_import.head_names import head_layers
from s2bnn_tf.torch_import.tensors import TensorAccount

keras = tf.keras

_COUNTER = "PyTorch's count of batches, which its BatchNorm does not read"
_NOT_RUN = "built by the reference implementation and never run"


def fill_resnet(backbone: keras.Model, tensors: TensorAccount, prefix: str) -> None:
    """Fill a ResNet with `reverse_input` from tensors with the names of torchvision."""
    for layer in backbone.layers:
        if layer.weights:
            name = prefix + resnet_name(layer.name)
            if isinstance(layer, keras.layers.Conv2D):
                layer.kernel.assign(_kernel(tensors, f"{name}.weight", layer.kernel.shape))
            else:
                fill_batch_norm(layer, tensors, [name])


def fill_reactnet(backbone: keras.Model, tensors: TensorAccount, prefix: str) -> None:
    """Fill a ReActNet with `reverse_input` from tensors with the reference's names."""
    stem = backbone.get_layer("stem_conv")
    kernel = _kernel(tensors, f"{prefix}feature.0.conv1.weight", stem.kernel.shape)
    stem.kernel.assign(kernel)
    fill_batch_norm(backbone.get_layer("stem_bn"), tensors, [f"{prefix}feature.0.bn1"])
    blocks = sum(layer.name.endswith("_conv3x3") for layer in backbone.layers)
    for index in range(1, blocks + 1):
        _fill_block(backbone, tensors, f"block{index}", f"{prefix}feature.{index}.")


def fill_head(head: keras.Model, tensors: TensorAccount, prefix: str, activation: str) -> None:
    """Fill a projection head.

    A linear layer may lack its bias if a BatchNorm follows, or if no linear layer of the head
    has a bias; the bias is then zero. A BatchNorm may lack both scale and shift.

    Args:
        head: The head, as `projection_head` builds it from `head_layers`.
        tensors: The tensors of the file.
        prefix: The prefix of the head's tensors.
        activation: The activation between its linear layers.
    """
    shapes = {name[len(prefix) :]: tensors.shape(name) for name in tensors.names(prefix)}
    parts = head_layers(shapes, activation)
    unbiased = not any(f"{name}bias" in shapes for kind, name in parts if kind == "linear")
    layers = [layer for layer in head.layers if not isinstance(layer, keras.layers.InputLayer)]
    for index, (layer, (kind, name)) in enumerate(zip(layers, parts, strict=True)):
        if kind == "linear":
            followed = index + 1 < len(parts) and parts[index + 1][0] == "bn"
            has_bias = f"{name}bias" in shapes or not (followed or unbiased)
            inputs, outputs = layer.kernel.shape
            kernel, bias = take_linear(tensors, prefix + name, inputs, outputs, has_bias=has_bias)
            layer.kernel.assign(kernel)
            layer.bias.assign(bias)
        elif kind == "bn":
            affine = {f"{name}weight", f"{name}bias"} & shapes.keys()
            norm = (prefix + name).removesuffix(".")
            fill_batch_norm(layer, tensors, [norm], affine=bool(affine))


def take_linear(
    tensors: TensorAccount, prefix: str, inputs: int, outputs: int, *, has_bias: bool = True
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Take kernel `(inputs, outputs)` and bias `(outputs,)` of an `nn.Linear`."""
    kernel = tensors.take(f"{prefix}weight", (outputs, inputs)).T
    bias = np.zeros(outputs)
    return kernel, tensors.take(f"{prefix}bias", (outputs,)) if has_bias else bias


def _fill_block(backbone: keras.Model, tensors: TensorAccount, ours: str, theirs: str) -> None:
    """Fill one block: a 3x3 and a 1x1 convolution, each with sign, BatchNorm and RPReLU."""
    conv3x3: BinaryConv2D = backbone.get_layer(f"{ours}_conv3x3")
    conv1x1: BinaryConv2D = backbone.get_layer(f"{ours}_conv1x1")
    _fill_bias(conv3x3.input_quantizer.bias, tensors, f"{theirs}move11")
    conv3x3.kernel.assign(_kernel(tensors, f"{theirs}binary_3x3.weight", conv3x3.kernel.shape))
    fill_batch_norm(backbone.get_layer(f"{ours}_bn1"), tensors, [f"{theirs}bn1"])
    _fill_rprelu(backbone.get_layer(f"{ours}_rprelu1"), tensors, theirs, "1")

    _fill_bias(conv1x1.input_quantizer.bias, tensors, f"{theirs}move21")
    inputs, outputs = conv1x1.kernel.shape[2:]
    forms = [(["binary_pw"], ["bn2"])]
    forms.append((["binary_pw_down1", "binary_pw_down2"], ["bn2_1", "bn2_2"]))
    (kernels, norms), not_run = forms if inputs == outputs else reversed(forms)
    shape = (1, 1, inputs, outputs // len(kernels))
    parts = [_kernel(tensors, f"{theirs}{name}.weight", shape) for name in kernels]
    conv1x1.kernel.assign(np.concatenate(parts, axis=-1))
    names = [f"{theirs}{name}" for name in norms]
    fill_batch_norm(backbone.get_layer(f"{ours}_bn2"), tensors, names)
    _fill_rprelu(backbone.get_layer(f"{ours}_rprelu2"), tensors, theirs, "2")
    for name in sum(not_run, []):
        tensors.ignore(f"{theirs}{name}.", _NOT_RUN)


def _fill_rprelu(layer: RPReLU, tensors: TensorAccount, block: str, number: str) -> None:
    _fill_bias(layer.shift_in, tensors, f"{block}move{number}2")
    slope = tensors.take(f"{block}prelu{number}.weight", (layer.slope.shape[-1],))
    layer.slope.assign(slope.reshape(layer.slope.shape))
    _fill_bias(layer.shift_out, tensors, f"{block}move{number}3")


def _fill_bias(variable: tf.Variable, tensors: TensorAccount, name: str) -> None:
    channels = variable.shape[0]
    variable.assign(tensors.take(f"{name}.bias", (1, channels, 1, 1)).reshape(channels))


def fill_batch_norm(
    layer: keras.layers.BatchNormalization,
    tensors: TensorAccount,
    names: list[str],
    *,
    affine: bool = True,
) -> None:
    """Fill one BatchNorm from one or more parallel ones, by concatenating their channels."""
    channels = layer.moving_mean.shape[0] // len(names)
    variables = {"running_mean": layer.moving_mean, "running_var": layer.moving_variance}
    if affine:
        variables |= {"weight": layer.gamma, "bias": layer.beta}
    for part, variable in variables.items():
        values = [tensors.take(f"{name}.{part}", (channels,)) for name in names]
        variable.assign(np.concatenate(values))
    for name in names:
        tensors.ignore(f"{name}.num_batches_tracked", _COUNTER)


def _kernel(tensors: TensorAccount, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Take a kernel, in Keras's layout `(kh, kw, in, out)` and rotated by 180 degrees."""
    height, width, inputs, outputs = shape
    kernel = tensors.take(name, (outputs, inputs, height, width))
    return kernel.transpose(2, 3, 1, 0)[::-1, ::-1]


def resnet_name(name: str) -> str:
    """The name that torchvision gives a layer of our ResNet.

    >>> resnet_name("layer3_1_2_bn"), resnet_name("stem_bn")
    ('layer3.1.bn2', 'bn1')
    >>> resnet_name("layer2_0_shortcut_conv")
    'layer2.0.downsample.0'
    """
    if name.startswith("stem_"):
        return name.removeprefix("stem_") + "1"
    match = re.fullmatch(r"(layer\d)_(\d+)_(\w+)_(conv|bn)", name)
    assert match is not None, name
    stage, block, part, kind = match.groups()
    if part == "shortcut":
        return f"{stage}.{block}.downsample.{0 if kind == 'conv' else 1}"
    return f"{stage}.{block}.{kind}{part}"
