"""The binary kernels against NumPy, and against the reference kernel of the runtime."""

import dataclasses

import numpy as np
import pytest

# Instructions by which the kernels choose their words; this machine runs the first two anywhere.
PORTABLE = ("-O1", "-DS2BNN_PORTABLE")
CASES = {
    "plain": {},
    "zeros around": {"pad_value": 0, "channels_in": 33, "channels_out": 17},
    "ones around": {"pad_value": 1, "channels_in": 65},
    "valid": {"padding": "VALID", "channels_in": 65, "channels_out": 33},
    "stride": {"stride": (2, 1), "height": 7, "width": 9},
    "both strides": {"stride": (2, 3), "height": 9, "width": 13, "channels_out": 40},
    "dilated": {"dilation": (2, 3), "height": 9, "width": 11},
    "groups": {"groups": 2, "channels_in": 128, "channels_out": 34},
    "one pixel": {"filter": (1, 1), "channels_in": 96, "width": 33},
    "one pixel, stride": {"filter": (1, 1), "stride": (2, 2), "width": 9},
    "larger than the map": {"filter": (5, 7), "height": 3, "width": 4},
    "few channels": {"channels_in": 3, "channels_out": 5, "height": 6},
    "many products": {"channels_in": 544, "height": 4, "width": 4},
    "relu": {"activation": "relu", "pad_value": 1},
    "relu6": {"activation": "relu6", "pad_value": 1, "filter": (1, 1), "channels_in": 5},
    "relu_n1_to_1": {"activation": "relu_n1_to_1", "padding": "VALID", "channels_in": 7},
    "bits": {"output": "bits", "channels_out": 70},
    "bits, ones around": {"output": "bits", "pad_value": 1, "channels_out": 33},
    "bits, groups": {"output": "bits", "groups": 2, "channels_in": 64, "channels_out": 40},
}
BOUNDS = {"none": (-np.inf, np.inf), "relu": (0, np.inf), "relu_n1_to_1": (-1, 1), "relu6": (0, 6)}


def model_of(graphs, case):
    """From floats to bits, the convolution, and back to floats."""
    graph = graphs.Graph()
    shape = (1, case.height, case.width, case.channels_in)
    x = graph.tensor(shape)
    bits = graph.tensor((*shape[:3], graphs.words_of(case.channels_in)), "int32")
    y = case.add_to(graph, graph.custom("LceQuantize", [x], bits))
    if case.output == "bits":
        floats = graph.tensor((1, *case.output_size(), case.channels_out))
        y = graph.custom("LceDequantize", [y], floats)
    return graph.build([x], [y])


def windows_of(case, x):
    """Yields each output pixel's row, column and patch, zeros or ones around the map."""
    rows, columns = case.output_size()
    borders, value = [], 1.0 if case.pad_value else 0.0
    for size, made, f, s, d in zip(
        (case.height, case.width), (rows, columns), case.filter, case.stride, case.dilation
    ):
        needed = max((made - 1) * s + (f - 1) * d + 1 - size, 0) if case.padding == "SAME" else 0
        borders.append((needed // 2, needed - needed // 2))
    padded = np.pad(x, (*borders, (0, 0)), constant_values=value)
    for i in range(rows):
        for j in range(columns):
            at = i * case.stride[0], j * case.stride[1]
            yield (
                i,
                j,
                padded[
                    at[0] : at[0] + (case.filter[0] - 1) * case.dilation[0] + 1 : case.dilation[0],
                    at[1] : at[1] + (case.filter[1] - 1) * case.dilation[1] + 1 : case.dilation[1],
                ],
            )


def expected(case, x):
    """The definition, in whole numbers and then in float64."""
    weights = case.weights()
    channels = case.channels_in // case.groups
    outputs = case.channels_out // case.groups
    sums = np.zeros((*case.output_size(), case.channels_out))
    for i, j, patch in windows_of(case, x):
        for o in range(case.channels_out):
            first = o // outputs * channels
            sums[i, j, o] = (patch[..., first : first + channels] * weights["filter"][o]).sum()
    products = case.filter[0] * case.filter[1] * channels
    if case.output == "bits":
        return np.where(products - sums > 2 * weights["thresholds"], -1.0, 1.0)
    low, high = BOUNDS[case.activation]
    return np.clip(sums, low, high) * weights["multiplier"].astype(np.float64) + weights["bias"]


@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_convolution(graphs, compiled, options):
    case = graphs.Bconv(**options)
    model, x = model_of(graphs, case), case.input()[0].astype(np.float32)
    wanted = expected(case, x).ravel()
    # Larq Compute Engine adds all products to the bias before it takes those that are -1 off.
    products = case.weights()["filter"][0].size
    scale = products * np.abs(case.weights()["multiplier"]).max() + np.abs(wanted).max()
    for flags in (PORTABLE, ("-O1", "-march=native"), ("-O1",)):
        (found,) = compiled(model, *flags).run(x)
        np.testing.assert_allclose(
            found, wanted, rtol=0, atol=(case.output != "bits") * 3e-7 * scale
        )


@pytest.mark.parametrize("name", ["plain", "zeros around", "stride", "one pixel", "bits"])
def test_same_bits_as_the_reference_kernel_of_the_runtime(graphs, compiled, name):
    from s2bnn_runtime import Interpreter, find_host

    case = graphs.Bconv(**CASES[name])
    model, x = model_of(graphs, case), case.input().astype(np.float32)
    reference = Interpreter(model, host=find_host("tensorflow"), kernels="reference").predict(x)
    (found,) = compiled(model).run(x)
    np.testing.assert_array_equal(found, reference.ravel())


@pytest.mark.parametrize("channels", [1, 31, 32, 33, 65, 96])
def test_signs_and_back(graphs, compiled, channels):
    graph, shape = graphs.Graph(), (1, 3, 5, channels)
    x, y = graph.tensor(shape), graph.tensor(shape)
    bits = graph.tensor((*shape[:3], graphs.words_of(channels)), "int32")
    graph.custom("LceDequantize", [graph.custom("LceQuantize", [x], bits)], y)
    picture = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    picture.flat[:3] = 0.0, -0.0, np.nan
    for flags in (PORTABLE, ("-O1", "-march=native")):
        (found,) = compiled(graph.build([x], [y]), *flags).run(picture)
        np.testing.assert_array_equal(found, np.where(picture < 0, -1.0, 1.0).ravel())


@pytest.mark.parametrize(
    ("padding", "stride", "size"), [("SAME", 2, 3), ("VALID", 2, 2), ("SAME", 1, 5), ("SAME", 3, 4)]
)
def test_pooling_of_bits(graphs, compiled, padding, stride, size):
    height, width, channels = 7, 6, 40
    graph, words = graphs.Graph(), graphs.words_of(40)
    x = graph.tensor((1, height, width, channels))
    bits = graph.custom("LceQuantize", [x], graph.tensor((1, height, width, words), "int32"))
    covered = 0 if padding == "SAME" else size - 1
    rows, columns = -(-(height - covered) // stride), -(-(width - covered) // stride)
    options = {"filter_height": size, "filter_width": size, "stride_height": stride}
    options |= {"stride_width": stride, "padding": graphs.PADDING[padding]}
    pooled = graph.tensor((1, rows, columns, words), "int32")
    graph.custom("LceBMaxPool2d", [bits], pooled, options)
    y = graph.tensor((1, rows, columns, channels))
    graph.custom("LceDequantize", [pooled], y)
    picture = np.random.default_rng(1).normal(size=(height, width, channels)) + 1.0

    case = graphs.Bconv(height=height, width=width, filter=(size, size), stride=(stride, stride))
    case = dataclasses.replace(case, padding=padding)
    wanted = np.full((rows, columns, channels), -1.0)
    signs = np.where(picture < 0, -1.0, 1.0)
    for i, j, patch in windows_of(dataclasses.replace(case, pad_value=0), signs):
        wanted[i, j] = np.where((patch == 1).any((0, 1)), 1.0, -1.0)
    (found,) = compiled(graph.build([x], [y])).run(picture.astype(np.float32))
    np.testing.assert_array_equal(found, wanted.ravel())
