"""Gates as squeeze-and-excitation has them: a mean, two small convolutions, LOGISTIC, and a
product with one factor per image and channel; all in the delegate's partition.
"""

from __future__ import annotations

import numpy as np
import pytest
from tensorflow.lite.python import schema_py_generated as schema
from test_float_steps import FUSING, Network, as_list, check

from s2bnn_runtime import Interpreter
from s2bnn_runtime.delegate import read_profile

# TensorFlow Lite's own sigmoid is exp(x) below -9.
OF_THE_HOST = 1.3e-4


class Gated(Network):
    def mean(self, x):
        options = schema.ReducerOptionsT()
        options.keepDims = True
        axes = self.constant(np.array([1, 2], np.int32))
        return self.op("MEAN", [x[0], axes], (x[1][0], 1, 1, x[1][3]), options)

    def sigmoid(self, x):
        return self.op("LOGISTIC", [x[0]], x[1])

    def multiply(self, x, y):
        shape = max(x[1], y[1], key=np.prod)
        return self.op("MUL", [x[0], y[0]], shape, schema.MulOptionsT())

    def gate(self, x, squeezed: int):
        hidden = self.conv(self.mean(x), squeezed, (1, 1), (1, 1), "SAME", activation=1)
        return self.sigmoid(self.conv(hidden, x[1][3], (1, 1), (1, 1), "SAME"))


def run_all(network: Gated, outputs, x: np.ndarray, host) -> list[np.ndarray]:
    """The outputs, after a check that they are the same bits with every kernel and thread."""
    model = network.build([network.x[0]], [tensor for tensor, _ in outputs])
    first = None
    for kernels in FUSING:
        for threads in (1, 2):
            interpreter = Interpreter(model, threads, host=host, kernels=kernels)
            result = as_list(interpreter.predict(x))
            first = first or result
            for got, other in zip(result, first):
                np.testing.assert_array_equal(got.view(np.int32), other.view(np.int32), kernels)
    return first


@pytest.mark.parametrize("channels", [32, 70, 7])
def test_logistic_is_exact_and_the_same_bits_with_every_kernel(host, channels):
    network = Gated((1, 5, 40, channels))
    y = network.sigmoid(network.x)
    rng = np.random.default_rng(0)
    x = rng.normal(0, 30, network.x[1]).astype(np.float32)
    special = [0.0, -0.0, np.inf, -np.inf, 87.5, -87.5, 1e-30, -1e30, 3e38, np.nan]
    x.reshape(-1)[: len(special)] = special
    found, _ = run_all(network, [y, network.bconv(y, 32)], x, host)
    exact = 1 / (1 + np.exp(-np.clip(x.astype(np.float64), -700, 700)))
    np.testing.assert_allclose(found, exact, rtol=3e-7, atol=1e-37)


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize(
    "shape", [(1, 5, 7, 64), (3, 1, 3, 40), (2, 2, 2, 96), (1, 4, 4, 8), (5, 1, 1, 33)]
)
def test_each_image_has_its_own_gate(host, shape, swapped):
    """A tile of eight pixels holds several images, or a part of one."""
    network = Gated(shape)
    y = network.bconv(network.x, shape[3])
    mean = network.mean(y)
    z = network.multiply(mean, y) if swapped else network.multiply(y, mean)
    x = np.random.default_rng(2).normal(size=shape).astype(np.float32)
    found = run_all(network, [y, mean, z, network.bconv(z, 32)], x, host)
    np.testing.assert_array_equal(found[2], found[0] * found[1])


@pytest.mark.parametrize("channels, squeezed", [(64, 8), (40, 5), (160, 20)])
@pytest.mark.parametrize("height, width", [(4, 8), (3, 5)])
def test_a_whole_gate_equals_larq_compute_engines(host, lce, height, width, channels, squeezed):
    """With a product of two maps and a shortcut, as in BNext's attention."""
    network = Gated((1, height, width, channels))
    slopes = network.values(1, 1, channels)
    residual = network.op("PRELU", [network.x[0], slopes], network.x[1])
    y = network.bconv(network.x, channels)
    product = network.multiply(network.multiply(y, network.gate(y, squeezed)), residual)
    normal = network.op(
        "MUL", [product[0], network.values(channels)], product[1], schema.MulOptionsT()
    )
    z = network.add(normal, residual)
    names = check(network, [z, network.bconv(z, 32)], (30 * OF_THE_HOST, None), host, lce)
    assert any("+LOGISTIC" in name for name in names)
    assert any("+GATE+MUL+SCALE+ADD" in name for name in names)


def test_nothing_of_a_gate_is_left_to_the_host(host):
    network = Gated((1, 4, 4, 64))
    y = network.bconv(network.x, 64)
    z = network.multiply(y, network.gate(y, 8))
    model = network.build([network.x[0]], [network.bconv(z, 32)[0]])
    interpreter = Interpreter(model, host=host, profile="gates")
    interpreter.predict(np.ones((1, 4, 4, 64), np.float32))
    assert len(read_profile("gates")) == 1


def test_what_is_no_gate_is_not_taken_for_one(host, lce):
    """A row of factors, which differ along the width, is multiplied by the host."""
    network = Gated((1, 4, 4, 64))
    y = network.bconv(network.x, 64)
    row = network.tensor((1, 1, 4, 64))
    options = schema.ReducerOptionsT()
    options.keepDims = True
    axis = network.constant(np.array([1], np.int32))
    network.builtin("MEAN", [y[0], axis], row, options)
    z = network.op("MUL", [y[0], row], y[1], schema.MulOptionsT())
    check(network, [z], (1e-4,), host, lce)
