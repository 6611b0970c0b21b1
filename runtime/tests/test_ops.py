"""The three small custom ops, against Larq Compute Engine or their definition."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import KERNELS
from graphs import PADDING, Graph, pack_bits, words_of

CHANNELS = (1, 31, 32, 33, 64, 65, 100)


def quantize_model(shape, dtype: str, **quantization) -> bytes:
    graph = Graph()
    x = graph.tensor(shape, dtype, **quantization)
    y = graph.tensor((*shape[:-1], words_of(shape[-1])), "int32")
    return graph.build([x], [graph.custom("LceQuantize", [x], y)])


def dequantize_model(shape, dtype: str, **quantization) -> bytes:
    graph = Graph()
    x = graph.tensor((*shape[:-1], words_of(shape[-1])), "int32")
    y = graph.tensor(shape, dtype, **quantization)
    return graph.build([x], [graph.custom("LceDequantize", [x], y)])


def bmaxpool_model(height: int, width: int, channels: int, size, stride, padding: str) -> bytes:
    graph = Graph()
    x = graph.tensor((1, height, width, words_of(channels)), "int32")
    covered = (height, width) if padding == "SAME" else (height - size[0] + 1, width - size[1] + 1)
    rows, columns = (-(-c // s) for c, s in zip(covered, stride))
    y = graph.tensor((1, rows, columns, words_of(channels)), "int32")
    options = {
        "filter_height": size[0],
        "filter_width": size[1],
        "stride_height": stride[0],
        "stride_width": stride[1],
        "padding": PADDING[padding],
    }
    return graph.build([x], [graph.custom("LceBMaxPool2d", [x], y, options)])


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("rank", [1, 2, 4])
def test_quantize_float(run, kernels, channels, rank):
    shape = (2, 3, 5, channels)[-rank:]
    x = np.random.default_rng(channels).normal(size=shape).astype(np.float32)
    # Neither zero is negative, nor is a value that is not a number; the smallest negative number
    # is.
    x.flat[: min(5, x.size)] = [0.0, -0.0, np.nan, -1e-45, -np.inf][: min(5, x.size)]
    result = run(quantize_model(shape, "float32"), x, kernels=kernels)
    np.testing.assert_array_equal(result, pack_bits(x))


@pytest.mark.parametrize("zero_point", [-128, -3, 0, 127])
@pytest.mark.parametrize("channels", CHANNELS)
def test_quantize_int8(run, lce, channels, zero_point):
    shape = (1, 3, 5, channels)
    x = np.random.default_rng(channels).integers(-128, 128, shape, dtype=np.int8)
    model = quantize_model(shape, "int8", scale=0.1, zero_point=zero_point)
    result = run(model, x)
    np.testing.assert_array_equal(result, pack_bits(x.astype(int) - zero_point))
    np.testing.assert_array_equal(result, lce(model, x))


@pytest.mark.parametrize("channels", CHANNELS)
def test_quantize_and_dequantize_bool(run, channels):
    shape = (1, 2, 3, channels)
    x = np.random.default_rng(channels).random(shape) < 0.5
    bits = run(quantize_model(shape, "bool"), x)
    np.testing.assert_array_equal(bits, pack_bits(np.where(x, 1, -1)))
    np.testing.assert_array_equal(run(dequantize_model(shape, "bool"), bits), x)


@pytest.mark.parametrize(
    "dtype, quantization", [("float32", {}), ("int8", {"scale": 0.013, "zero_point": -60})]
)
@pytest.mark.parametrize("channels", CHANNELS)
def test_dequantize(run, lce, channels, dtype, quantization):
    shape = (1, 3, 5, channels)
    x = pack_bits(np.random.default_rng(channels).normal(size=shape))
    model = dequantize_model(shape, dtype, **quantization)
    np.testing.assert_array_equal(run(model, x), lce(model, x))


@pytest.mark.parametrize("padding", PADDING)
@pytest.mark.parametrize(
    "size, stride", [((2, 2), (2, 2)), ((3, 3), (2, 2)), ((3, 2), (1, 3)), ((9, 9), (1, 1))]
)
def test_bmaxpool(run, lce, size, stride, padding):
    height, width, channels = 9, 10, 70
    model = bmaxpool_model(height, width, channels, size, stride, padding)
    bits = pack_bits(np.random.default_rng(0).normal(size=(1, height, width, channels)))
    np.testing.assert_array_equal(run(model, bits), lce(model, bits))
    np.testing.assert_array_equal(run(model, bits, num_threads=2), lce(model, bits))
