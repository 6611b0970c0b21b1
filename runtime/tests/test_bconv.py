"""LceBconv2d: every kernel against Larq Compute Engine, or plain arithmetic where that is wrong
or refuses.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from conftest import KERNELS
from graphs import Bconv, pack_bits


def draw_case(rng: np.random.Generator) -> Bconv:
    """A random convolution that Larq Compute Engine computes correctly."""
    while True:
        groups = int(rng.choice([1, 1, 1, 2, 4]))
        pad_value = int(rng.integers(2))
        padding = str(rng.choice(["SAME", "VALID"]))
        zero_padding = padding == "SAME" and pad_value == 0
        case = Bconv(
            batch=int(rng.integers(1, 3)),
            height=int(rng.integers(1, 13)),
            width=int(rng.integers(1, 19)),
            channels_in=32 * groups * int(rng.integers(1, 4))
            if groups > 1
            else int(rng.integers(1, 200)),
            channels_out=groups * int(rng.integers(1, 101 // groups)),
            filter=(int(rng.choice([1, 2, 3, 5, 7])), int(rng.choice([1, 2, 3, 5, 7]))),
            stride=(int(rng.integers(1, 4)), int(rng.integers(1, 4))),
            dilation=(int(rng.integers(1, 3)), int(rng.integers(1, 3))),
            padding=padding,
            pad_value=pad_value,
            activation="none"
            if zero_padding
            else str(rng.choice(["none", "relu", "relu_n1_to_1", "relu6"])),
            groups=groups,
            output="float32" if zero_padding else str(rng.choice(["float32", "int8", "bits"])),
            seed=int(rng.integers(1 << 30)),
        )
        if case.output == "bits":
            case = dataclasses.replace(case, activation="none")
        if case.fits:
            return case


def convolve(case: Bconv) -> np.ndarray:
    """The sum of products of +1 and -1, (batch, height, width, channels_out), by the definition."""
    x, weights = case.input(), case.weights()["filter"]
    rows, columns = case.output_size()
    padding = [0, 0]
    if case.padding == "SAME":
        sizes = zip(
            (rows, columns), (case.height, case.width), case.filter, case.stride, case.dilation
        )
        padding = [max((o - 1) * s + (f - 1) * d + 1 - i, 0) // 2 for o, i, f, s, d in sizes]
    group_in, group_out = case.channels_in // case.groups, case.channels_out // case.groups
    result = np.zeros((case.batch, rows, columns, case.channels_out))
    for y, c in np.ndindex(rows, columns):
        for fy, fx in np.ndindex(*case.filter):
            iy = y * case.stride[0] - padding[0] + fy * case.dilation[0]
            ix = c * case.stride[1] - padding[1] + fx * case.dilation[1]
            inside = 0 <= iy < case.height and 0 <= ix < case.width
            pixel = (
                x[:, iy, ix]
                if inside
                else np.full((case.batch, case.channels_in), float(case.pad_value))
            )
            for g in range(case.groups):
                outputs = slice(g * group_out, (g + 1) * group_out)
                products = pixel[:, g * group_in : (g + 1) * group_in] @ weights[outputs, fy, fx].T
                result[:, y, c, outputs] += products
    return result


def expected(case: Bconv) -> np.ndarray:
    weights = case.weights()
    low, high = {
        "none": (-np.inf, np.inf),
        "relu": (0, np.inf),
        "relu_n1_to_1": (-1, 1),
        "relu6": (0, 6),
    }[case.activation]
    sums = convolve(case)
    if case.output == "bits":
        products = case.filter[0] * case.filter[1] * case.channels_in // case.groups
        return pack_bits(np.where(products - sums > 2 * weights["thresholds"], -1.0, 1.0))
    scaled = np.clip(sums, low, high) * weights["multiplier"].astype(float) + weights["bias"]
    if case.output == "int8":
        return np.clip(np.round(scaled / np.float32(0.04)) - 7, -128, 127)
    return scaled


@pytest.mark.parametrize("seed", range(60))
def test_equals_lce_to_the_bit(run, lce, seed):
    case = draw_case(np.random.default_rng(seed))
    x = pack_bits(case.input())
    # Its interpreter takes one image at a time, and its default kernel no groups.
    wanted = lce(dataclasses.replace(case, batch=1).model(), x, use_indirect_bgemm=case.groups > 1)
    for kernels in KERNELS:
        np.testing.assert_array_equal(
            run(case.model(), x, kernels=kernels), wanted, f"{kernels}: {case}"
        )


@pytest.mark.parametrize("seed", range(40))
def test_is_right_where_lce_is_not(run, seed):
    """Filters larger than their input; zero padding together with an activation, or an int8 or
    bit output.
    """
    rng = np.random.default_rng(1000 + seed)
    case = dataclasses.replace(
        draw_case(rng),
        height=int(rng.integers(1, 5)),
        width=int(rng.integers(1, 5)),
        padding="SAME",
        pad_value=int(rng.integers(2)),
        output=str(rng.choice(["float32", "int8", "bits"])),
    )
    x = pack_bits(case.input())
    wanted = expected(case)
    results = [run(case.model(), x, kernels=kernels) for kernels in KERNELS]
    for kernels, result in zip(KERNELS, results):
        np.testing.assert_array_equal(result, results[0], f"{kernels}: {case}")
    # If the scaled value is a half, rounding to int8 may go either way.
    tolerance = {"float32": 1e-4, "int8": 1, "bits": 0}[case.output]
    np.testing.assert_allclose(
        results[0].astype(float), wanted, rtol=0, atol=tolerance, err_msg=str(case)
    )


class NotFinite(Bconv):
    """A convolution in which some biases are infinite or not numbers."""

    def weights(self) -> dict[str, np.ndarray]:
        weights = super().weights()
        weights["bias"][:3] = [np.nan, np.inf, -np.inf]
        return weights


def test_int8_of_nan_and_infinity_equals_lce(run, lce):
    case = NotFinite(pad_value=1, output="int8")
    x = pack_bits(case.input())
    wanted = lce(case.model(), x)
    assert wanted[0, 0, 0, :3].tolist() == [0, 127, -128]
    for kernels in KERNELS:
        np.testing.assert_array_equal(run(case.model(), x, kernels=kernels), wanted, kernels)


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_nothing(run, threads):
    case = Bconv(height=7, width=9, channels_in=96, channels_out=72)
    x = pack_bits(case.input())
    np.testing.assert_array_equal(run(case.model(), x, num_threads=threads), run(case.model(), x))


@pytest.mark.parametrize("channels_in, size", [(2048, 3), (8192, 3), (300, 15)])
def test_many_products(run, lce, channels_in, size):
    """Sums that exceed 8 bits and 16 bits."""
    case = Bconv(height=16, width=17, channels_in=channels_in, channels_out=5, filter=(size, size))
    x = pack_bits(case.input())
    wanted = lce(case.model(), x)
    for kernels in KERNELS:
        np.testing.assert_array_equal(run(case.model(), x, kernels=kernels), wanted)


def test_filter_larger_than_the_input_equals_keras(run):
    import larq as lq
    import larq_compute_engine as lce
    import tensorflow as tf

    tf.keras.utils.set_random_seed(0)
    layer = lq.layers.QuantConv2D(
        40,
        5,
        padding="same",
        input_quantizer="ste_sign",
        kernel_quantizer="ste_sign",
        use_bias=False,
    )
    model = tf.keras.Sequential([tf.keras.layers.Input((3, 2, 64)), layer])
    images = np.random.default_rng(0).normal(size=(1, 3, 2, 64)).astype(np.float32)
    converted = lce.convert_keras_model(model)
    np.testing.assert_allclose(run(converted, images), model(images).numpy(), atol=1e-4)
