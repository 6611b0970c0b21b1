"""Float work that does not run op by op: the first convolution, pooling in patches, repeated
maps.
"""

from __future__ import annotations

import numpy as np
import pytest
from conftest import KERNELS
from graphs import PADDING, Bconv, Graph, words_of
from tensorflow.lite.python import schema_py_generated as schema

from s2bnn_runtime import Interpreter
from s2bnn_runtime.delegate import read_profile

FUSING = [kernels for kernels in KERNELS if kernels != "reference"]


class Network(Graph):
    """A graph with an input. Methods take and return a tensor with its shape."""

    def __init__(self, shape) -> None:
        super().__init__()
        self.rng = np.random.default_rng(0)
        self.x = (self.tensor(shape), tuple(shape))

    def values(self, *shape) -> int:
        return self.constant(self.rng.normal(0, 1, shape).astype(np.float32))

    def op(self, name, inputs, shape, options=None):
        return self.builtin(name, inputs, self.tensor(shape), options), shape

    def bconv(self, x, channels: int):
        tensor, shape = x
        bits = self.custom(
            "LceQuantize", [tensor], self.tensor((*shape[:3], words_of(shape[3])), "int32")
        )
        case = Bconv(*shape, channels, pad_value=1)
        return case.add_to(self, bits), (*shape[:3], channels)

    def conv(self, x, channels, size, stride, padding, activation=0):
        tensor, (batch, height, width, depth) = x
        options = schema.Conv2DOptionsT()
        options.padding, options.fusedActivationFunction = PADDING[padding], activation
        options.strideH, options.strideW = stride
        options.dilationHFactor = options.dilationWFactor = 1
        covered = [n if padding == "SAME" else n - f + 1 for n, f in zip((height, width), size)]
        shape = (batch, *(-(-n // s) for n, s in zip(covered, stride)), channels)
        inputs = [tensor, self.values(channels, *size, depth), self.values(channels)]
        return self.op("CONV_2D", inputs, shape, options)

    def halve(self, x, pool: str = "AVERAGE_POOL_2D"):
        tensor, (batch, height, width, channels) = x
        options = schema.Pool2DOptionsT()
        options.strideH = options.strideW = options.filterHeight = options.filterWidth = 2
        return self.op(pool, [tensor], (batch, -(-height // 2), -(-width // 2), channels), options)

    def add(self, x, y):
        return self.op("ADD", [x[0], y[0]], x[1], schema.AddOptionsT())

    def twice(self, x):
        options = schema.ConcatenationOptionsT()
        options.axis = 3
        return self.op("CONCATENATION", [x[0], x[0]], (*x[1][:3], 2 * x[1][3]), options)


def check(network: Network, outputs, tolerances, host, lce) -> list[str]:
    """Check that every kernel gives the same result, and that it is Larq Compute Engine's unless
    the tolerance is None. Returns the steps' names.
    """
    model = network.build([network.x[0]], [tensor for tensor, _ in outputs])
    x = np.random.default_rng(1).normal(size=network.x[1]).astype(np.float32)
    wanted = as_list(lce(model, x))
    first = None
    for kernels in FUSING:
        for threads in (1, 2):
            profile = f"{kernels}, {threads} threads"
            interpreter = Interpreter(model, threads, host=host, kernels=kernels, profile=profile)
            result = as_list(interpreter.predict(x))
            first = first or result
            for got, other, want, tolerance in zip(result, first, wanted, tolerances):
                np.testing.assert_array_equal(got, other, profile)
                if tolerance is not None:
                    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance, err_msg=profile)
            names = [step["name"] for partition in read_profile(profile) for step in partition]
    return names


def as_list(result) -> list[np.ndarray]:
    return result if isinstance(result, list) else [result]


@pytest.mark.parametrize("padding", PADDING)
@pytest.mark.parametrize(
    "shape, channels, size, stride",
    [
        ((1, 9, 11, 3), 32, (3, 3), (2, 2)),
        ((1, 8, 9, 3), 40, (3, 3), (1, 2)),
        ((1, 5, 7, 1), 70, (5, 5), (1, 1)),
        ((1, 6, 6, 4), 16, (2, 3), (3, 1)),
        ((1, 2, 2, 3), 33, (1, 1), (1, 1)),
    ],
)
def test_first_convolution(host, lce, shape, channels, size, stride, padding):
    """Equal to LCE's up to rounding. A sign near zero may turn, so the next layer is compared
    only between kernels.
    """
    network = Network(shape)
    y = network.conv(network.x, channels, size, stride, padding, activation=1)
    shifted = network.op("ADD", [y[0], network.values(channels)], y[1], schema.AddOptionsT())
    names = check(network, [y, network.bconv(shifted, 32)], (1e-4, None), host, lce)
    assert names == ["CONV_2D+CLAMP+STORE+BIAS+QUANTIZE", "LceBconv2d+STORE"]


def test_large_float_convolutions_stay_with_the_host(host, lce):
    network = Network((1, 8, 8, 8))
    y = network.conv(network.x, 32, (3, 3), (1, 1), "SAME")
    assert check(network, [network.bconv(y, 32)], (None,), host, lce) == [
        "LOAD+QUANTIZE",
        "LceBconv2d+STORE",
    ]


@pytest.mark.parametrize("height, width", [(8, 16), (8, 8), (7, 9)])
def test_an_image_is_normalized_several_pixels_at_a_time(host, lce, height, width):
    network = Network((1, height, width, 3))
    x, shape = network.x
    scaled = network.op("MUL", [x, network.values(3)], shape, schema.MulOptionsT())
    normal = network.op("ADD", [scaled[0], network.values(3)], shape, schema.AddOptionsT())
    y = network.conv(normal, 32, (3, 3), (2, 2), "SAME")
    names = check(network, [normal, network.bconv(y, 32)], (0, None), host, lce)
    assert names[0] == "LOAD+SCALE+BIAS+STORE"


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("axes", [(1, 2), (2, 1)])
def test_global_mean(host, lce, axes, keep):
    network = Network((1, 5, 7, 64))
    y = network.bconv(network.x, 40)
    options = schema.ReducerOptionsT()
    options.keepDims = keep
    axes_tensor = network.constant(np.array(axes, np.int32))
    mean = network.op("MEAN", [y[0], axes_tensor], (1, 1, 1, 40) if keep else (1, 40), options)
    names = check(network, [mean], (1e-5,), host, lce)
    assert names[-1] == "MEAN+STORE"


@pytest.mark.parametrize("channels", [32, 96, 48])
@pytest.mark.parametrize("height, width", [(4, 8), (2, 4), (6, 12), (4, 6), (3, 8), (5, 5)])
def test_pooling_a_convolution(host, lce, height, width, channels):
    """In the convolution's pass if the map divides into patches. The map itself is read too, or
    not.
    """
    network = Network((1, height, width, 64))
    y = network.bconv(network.x, channels)
    z = network.op("PRELU", [y[0], network.values(1, 1, channels)], y[1])
    names = check(network, [network.halve(z), network.bconv(z, 32)], (0, 0), host, lce)
    in_one_pass = height % 2 == 0 and width % 4 == 0 and channels % 32 == 0
    assert ("+POOL" in names[1]) == in_one_pass
    network = Network((1, height, width, 64))
    y = network.bconv(network.x, channels)
    half = network.halve(y)
    check(network, [y, network.add(network.bconv(half, channels), half)], (0, 0), host, lce)


@pytest.mark.parametrize("channels", [32, 64, 48])
def test_doubling_the_channels(host, lce, channels):
    """The repeated map is stored once, if words of bits allow it, and the shortcut reads it
    twice.
    """
    network = Network((1, 5, 6, channels))
    y = network.add(network.bconv(network.x, channels), network.x)
    double = network.twice(y)
    z = network.add(network.bconv(y, 2 * channels), double)
    names = check(network, [z], (0,), host, lce)
    assert names[1].count("STORE") == (1 if channels % 32 == 0 else 2)
    network = Network((1, 5, 6, channels))
    double = network.twice(network.x)
    z = network.add(
        network.bconv(double, 2 * channels), network.twice(network.add(network.x, network.x))
    )
    check(network, [z, double], (0, 0), host, lce)
