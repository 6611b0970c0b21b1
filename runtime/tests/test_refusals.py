"""A model that cannot be right is refused with a sentence that says why, and the process
continues.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from flatbuffers import flexbuffers
from graphs import Bconv, Graph, pack_bits, words_of
from tensorflow.lite.python import schema_py_generated as schema

from s2bnn_runtime import S2bnnError

GOOD = Bconv()


def model_with(
    options: dict | bytes | None = None, *, inputs=None, x_shape=None, **tensors
) -> bytes:
    """The good convolution with one thing replaced: its options, its list of inputs, or a
    constant.
    """
    graph = Graph()
    weights = {
        "filter": pack_bits(GOOD.weights()["filter"]),
        "multiplier": GOOD.weights()["multiplier"],
        "bias": GOOD.weights()["bias"],
    } | tensors
    x = graph.tensor(x_shape or (1, GOOD.height, GOOD.width, 2), "int32")
    constants = [graph.constant(weights[name]) for name in ("filter", "multiplier", "bias")]
    y = graph.tensor((1, GOOD.height, GOOD.width, GOOD.channels_out))
    names = inputs(x, *constants) if inputs else [x, *constants, -1]
    graph.custom("LceBconv2d", names, y, GOOD.options if options is None else options)
    return graph.build([x], [y])


BAD_OPTIONS = [
    ("stride_height", 0, "stride_height = 0"),
    ("stride_width", -1, "stride_width = -1"),
    ("stride_width", 1 << 40, "stride_width"),
    ("dilation_height_factor", 0, "dilation_height_factor = 0"),
    ("padding", 2, "padding = 2"),
    ("pad_values", 3, "pad_values = 3"),
    ("fused_activation_function", 4, "fused_activation_function = 4"),
    ("channels_in", 0, "channels_in = 0"),
    ("channels_in", 65, "channels_in does not match"),
    ("channels_in", (1 << 31) + 64, "channels_in"),
]


def refuse(run, capfd, model: bytes, reason: str) -> None:
    with pytest.raises(S2bnnError) as caught:
        run(model, np.zeros((1, GOOD.height, GOOD.width, 2), np.int32))
    # Some hosts put the message into the exception, others print it.
    assert reason in str(caught.value) + capfd.readouterr().err


def test_the_good_one_runs(run):
    assert run(model_with(), pack_bits(GOOD.input())).shape == (1, 5, 6, 32)


@pytest.mark.parametrize("name, value, reason", BAD_OPTIONS)
def test_bad_option(run, capfd, name, value, reason):
    refuse(run, capfd, model_with(GOOD.options | {name: value}), reason)


@pytest.mark.parametrize("name", GOOD.options)
def test_missing_option(run, capfd, name):
    options = {key: value for key, value in GOOD.options.items() if key != name}
    refuse(run, capfd, model_with(options), f"{name} is missing")


@pytest.mark.parametrize(
    "options",
    [
        b"",
        b"\0",
        b"\1\2\3",
        b"\xff" * 64,
        flexbuffers.Dumps([1, 2, 3]),
        flexbuffers.Dumps(GOOD.options)[:-4],
    ],
    ids=["empty", "one byte", "three bytes", "ones", "not a map", "cut"],
)
def test_options_that_are_no_map(run, capfd, options):
    refuse(run, capfd, model_with(options), "custom options")


def test_options_without_end(run, capfd):
    """Few bytes that unfold to many values, by parts that share their bytes."""
    refuse(run, capfd, model_with(shared_vectors(40)), "channels_in is missing")
    many = {f"{'n' * 20}{i}": 1 for i in range(57)} | GOOD.options
    refuse(run, capfd, model_with(many), "more than 64 entries")
    refuse(run, capfd, model_with(GOOD.options | {"n" * 65: 1}), "a name is too long")


def shared_vectors(depth: int) -> bytes:
    """A map whose entry "a" holds a vector that holds the same vector twice, and so on."""
    integer, vector, map_ = 1 << 2, 10 << 2, 9 << 2  # type tags, for elements of one byte
    data = bytearray([2, 0, 0, integer, integer])  # a count, two values, and their types
    for _ in range(depth):  # offsets count backwards to the first value of the vector before
        data += bytes([2, 5, 6, vector, vector])
    value = len(data) - 4
    data += b"a\0" + bytes([1, 3])  # the keys: one, and the offset of its name
    data += bytes([1, 1, 1])  # the offset of the keys, their width, the map's count of entries
    data += bytes([len(data) - value, vector])
    return bytes(data + bytes([2, map_, 1]))  # the root: the offset of the map, its type, the width


def model_in(order: list[str]) -> bytes:
    """Two binary convolutions and two host's operations, given in this order."""
    graph = Graph()
    x, y, z = (graph.tensor((1, 3, 40)) for _ in range(3))
    bits, signs = graph.tensor((1, 3, 2), "int32"), graph.tensor((1, 3, 40))
    nodes = {
        "sine": lambda: graph.builtin("SIN", [x], y),
        "quantize": lambda: graph.custom("LceQuantize", [y], bits),
        "dequantize": lambda: graph.custom("LceDequantize", [bits], signs),
        "cosine": lambda: graph.builtin("COS", [signs], z),
        "circle": lambda: graph.builtin("ADD", [x, z], y, schema.AddOptionsT()),
        "constant": lambda: graph.builtin("SIN", [x], graph.constant(np.ones((1, 3, 40), "f4"))),
    }
    for name in order:
        nodes[name]()
    return graph.build([x], [z])


IN_ORDER = ["sine", "quantize", "dequantize", "cosine"]


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        (
            ["quantize", "sine", "dequantize", "cosine"],
            "node 0 (LceQuantize) reads tensor 1 before node 1 (builtin operator 66) makes it",
        ),
        (
            ["sine", "quantize", "cosine", "dequantize"],
            "node 2 (builtin operator 108) reads tensor 4 before node 3 (LceDequantize) makes it",
        ),
        (
            ["sine", "quantize", "dequantize", "dequantize", "cosine"],
            "node 3 (LceDequantize) makes tensor 4, which node 2 (LceDequantize) makes too",
        ),
        (
            [*IN_ORDER, "sine"],
            "node 4 (builtin operator 66) makes tensor 1, which node 0 (builtin operator 66) makes",
        ),
        (
            ["circle", "quantize", "dequantize", "cosine"],
            "node 0 (builtin operator 0) reads tensor 2 before node 3 (builtin operator 108)",
        ),
        ([*IN_ORDER, "constant"], "node 4 (builtin operator 66) writes tensor 5, which is a const"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_order(run, capfd, order, reason):
    """TensorFlow 2.15 itself crashes on some of these while it makes partitions."""
    x = np.random.default_rng(0).normal(size=(1, 3, 40)).astype(np.float32)
    wanted = np.cos(np.where(np.sin(x) < 0, -1, 1))
    np.testing.assert_allclose(run(model_in(IN_ORDER), x), wanted, rtol=1e-6)
    with pytest.raises(S2bnnError) as caught:
        run(model_in(order), x)
    assert reason in str(caught.value) + capfd.readouterr().err


def test_missing_tensors(run, capfd):
    refuse(run, capfd, model_with(inputs=lambda x, f, m, b: [x, f]), "not five inputs")
    refuse(
        run, capfd, model_with(inputs=lambda x, f, m, b: [x, f, -1, b, -1]), "an input is missing"
    )
    refuse(run, capfd, model_with(inputs=lambda x, f, m, b: [x, -1, m, b, -1]), "not five inputs")
    refuse(run, capfd, model_with(inputs=lambda x, f, m, b: [x, x, m, b, -1]), "must be constants")
    refuse(
        run,
        capfd,
        model_with(inputs=lambda x, f, m, b: [-1, f, m, b, -1]),
        "the first input is missing",
    )


def test_wrong_constants(run, capfd):
    refuse(run, capfd, model_with(multiplier=np.ones(31, np.float32)), "wrong size")
    refuse(run, capfd, model_with(bias=np.ones(32, np.int32)), "wrong type")
    refuse(run, capfd, model_with(filter=np.ones((32, 3, 3, 3), np.int32)), "do not divide")
    refuse(run, capfd, model_with(filter=np.ones((32, 9), np.int32)), "four dimensions")


def test_constant_shorter_than_its_shape(run, capfd):
    graph = Graph()
    x = graph.tensor((1, 5, 6, 2), "int32")
    case = dataclasses.replace(GOOD, height=5, width=6)
    y = case.add_to(graph, x)
    graph.tensors[2].shape = [32, 1024, 1024, 2]  # the filter
    refuse(run, capfd, graph.build([x], [y]), "")  # by the host or by us


def test_sizes_that_overflow(run, capfd):
    case = Bconv(
        height=256, width=256, channels_in=32, channels_out=40000, filter=(1, 1)
    )  # 2.6e9 elements
    with pytest.raises(S2bnnError) as caught:
        run(case.model(), pack_bits(case.input()))
    assert "more than 2^31 - 1 elements" in str(caught.value) + capfd.readouterr().err


def test_maxpool_window_larger_than_the_unpadded_input(run, capfd):
    graph = Graph()
    x = graph.tensor((1, 5, 6, 2), "int32")
    y = graph.tensor((1, 1, 1, words_of(64)), "int32")
    options = {
        "filter_height": 6,
        "filter_width": 2,
        "stride_height": 1,
        "stride_width": 1,
        "padding": 1,
    }
    graph.custom("LceBMaxPool2d", [x], y, options)
    refuse(run, capfd, graph.build([x], [y]), "larger than the unpadded input")


def test_unknown_kernels_and_options(host):
    from s2bnn_runtime import load_delegate

    with pytest.raises(S2bnnError, match="there are no kernels 'abacus'"):
        load_delegate(host=host, kernels="abacus")


def test_an_interpreter_survives_a_bad_input(host):
    from s2bnn_runtime import Interpreter

    interpreter = Interpreter(GOOD.model(), host=host)
    x = pack_bits(GOOD.input())
    wanted = interpreter.predict(x)
    for bad in (x[:, :3], x.astype(np.int64), x[0, 0], x.astype(np.float32)):
        with pytest.raises(S2bnnError):
            interpreter.predict(bad)
    np.testing.assert_array_equal(interpreter.predict(x), wanted)
