"""Files that a host must not see: each is refused with a sentence, before the host opens it."""

from __future__ import annotations

import random
import struct
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from graphs import Graph
from tensorflow.lite.python import schema_py_generated as schema

from s2bnn_runtime import Interpreter, S2bnnError
from s2bnn_runtime.delegate import check_model

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "tests" / "cpp" / "corpus" / "model"

sys.path.insert(0, str(ROOT / "tools"))

import fuzz  # noqa: E402
import make_schema  # noqa: E402
from mutate import CHANGES, Mutator, find_graph  # noqa: E402

SEEDS = [path.read_bytes() for path in sorted(CORPUS.iterdir())]


def model(change=None) -> bytes:
    """Signs of (1, 3, 40), flattened, with a change before the file is written."""
    graph = Graph()
    x = graph.tensor((1, 3, 40))
    bits = graph.custom("LceQuantize", [x], graph.tensor((1, 3, 2), "int32"))
    signs = graph.custom("LceDequantize", [bits], graph.tensor((1, 3, 40)))
    shape = graph.constant(np.array([1, 120], np.int32))
    y = graph.builtin("RESHAPE", [signs, shape], graph.tensor((1, 120)))
    inputs, outputs = [x], [y]
    if change:
        change(graph, inputs, outputs)
    return graph.build(inputs, outputs)


def test_the_good_one(host):
    assert Interpreter(model(), host=host).predict(np.ones((1, 3, 40), "f4")).shape == (1, 120)
    for seed in SEEDS:
        check_model(seed)


def set_inputs(node: int, inputs: list[int]):
    return lambda graph, _inputs, _outputs: setattr(graph.operators[node], "inputs", inputs)


def set_tensor(index: int, name: str, value: int):
    return lambda graph, _inputs, _outputs: setattr(graph.tensors[index], name, value)


CHANGED = [
    (set_inputs(2, [2, 5]), "node 2 (builtin operator 22) uses tensor 5 of 5"),
    (set_inputs(2, [2, -2]), "node 2 (builtin operator 22) uses tensor -2 of 5"),
    (set_inputs(2, [2, -1]), "node 2 (builtin operator 22) lacks input 1"),
    (set_inputs(0, [2]), "node 0 (LceQuantize) reads tensor 2 before node 1 (LceDequantize)"),
    (set_tensor(3, "buffer", 0), "node 2 (builtin operator 22) reads tensor 3, which nothing"),
    (set_tensor(3, "buffer", 7), "a tensor uses buffer 7 of 2"),
    (set_tensor(4, "type", 9), "node 2 (builtin operator 22) changes the type of its input"),
    (set_tensor(1, "isVariable", True), "node 0 (LceQuantize) writes tensor 1, which is a vari"),
    (lambda g, i, o: i.append(2), "writes tensor 2, which is an input of the graph"),
    (lambda g, i, o: i.append(3), "an input of the graph is a constant"),
    (lambda g, i, o: i.append(5), "the graph uses tensor 5 of 5"),
    (lambda g, i, o: o.append(-1), "the graph uses tensor -1 of 5"),
    (lambda g, i, o: o.append(g.tensor((1, 3))), "nothing makes the output tensor 5"),
    (lambda g, i, o: setattr(g.operators[2], "opcodeIndex", 3), "a node has operator 3 of 3"),
]


@pytest.mark.parametrize(("change", "reason"), CHANGED)
def test_a_graph_that_makes_no_sense(host, change, reason):
    with pytest.raises(S2bnnError) as caught:
        Interpreter(model(change), host=host)
    message = str(caught.value)
    assert message.startswith("it is damaged (") and reason in message
    assert message.endswith("); convert the model again")


@pytest.mark.parametrize(
    ("operator", "options", "field", "what"),
    [
        ("CONV_2D", schema.Conv2DOptionsT, "strideW", "stride"),
        ("CONV_2D", schema.Conv2DOptionsT, "dilationHFactor", "dilation"),
        ("DEPTHWISE_CONV_2D", schema.DepthwiseConv2DOptionsT, "strideH", "stride"),
        ("MAX_POOL_2D", schema.Pool2DOptionsT, "filterHeight", "filter size"),
    ],
)
@pytest.mark.parametrize("value", [0, -1, -(2**31), 65536])
def test_windows(operator, options, field, what, value):
    content = options()
    for name in ("strideW", "strideH", "filterWidth", "filterHeight"):
        if hasattr(content, name):
            setattr(content, name, 1)

    def build() -> bytes:
        graph = Graph()
        x = graph.tensor((1, 4, 4, 1))
        return graph.build([x], [graph.builtin(operator, [x], graph.tensor((1, 1)), content)])

    check_model(build())
    setattr(content, field, value)
    with pytest.raises(S2bnnError, match=f"has a {what} of {value}"):
        check_model(build())


@pytest.mark.parametrize("operator", ["RESHAPE", "FAKE_QUANT", "MEAN", "MAX_POOL_2D", "RELU"])
@pytest.mark.parametrize("dtype", [1, 6, 9, 13])  # float16, bool, int8, a resource
def test_types_that_stay(operator, dtype):
    graph = Graph()
    x = graph.tensor((1, 4, 4, 1))
    data = graph.build([x], [graph.builtin(operator, [x, x], graph.tensor((1, 4, 4, 1)))])
    check_model(data)
    graph.tensors[1].type = dtype
    with pytest.raises(S2bnnError, match="changes the type of its input"):
        check_model(graph.build([x], [1]))


def test_cut_short_anywhere(host):
    """TensorFlow 2.15 itself does not survive most of these."""
    data = model()
    for length in range(8, len(data) - 8, 13):
        with pytest.raises(S2bnnError, match="it is damaged"):
            Interpreter(data[:length], host=host)


def test_offsets_in_all_directions():
    data = model()
    for at in range(0, len(data) - 3, 4):
        for number in (0, 3, len(data), 2**31, 2**32 - 4):
            damaged = bytearray(data)
            struct.pack_into("<I", damaged, at, number)
            try:
                check_model(bytes(damaged))
            except S2bnnError as error:
                assert str(error).startswith("it is damaged (")


def test_the_schema_is_that_of_tensorflow():
    if not version("tensorflow").startswith("2.15."):
        pytest.skip("only with TensorFlow 2.15: the schema that the files are made of")
    for path, text in make_schema.texts().items():
        assert path.read_text() == text, f"run tools/make_schema.py, which makes {path}"


def test_each_change_of_structure_leaves_a_flatbuffer():
    """And each changes some of the seeds, so that none of them is idle."""
    for change in CHANGES:
        changed = 0
        for number, seed in enumerate(SEEDS):
            data = bytearray(seed)
            change(data, find_graph(seed), random.Random(number))
            changed += data != seed
            try:
                check_model(bytes(data))
            except S2bnnError as error:
                if change.__name__ != "change_options":  # some of which are lists
                    assert "points outside of itself" not in str(error), change
        assert changed > 1, change


def test_mutants_are_reproducible():
    for structure in (False, True):
        first, second = Mutator(SEEDS, structure, 3), Mutator(SEEDS, structure, 3)
        assert [first(i) for i in range(50)] == [second(i) for i in range(50)]
        assert first(7) != Mutator(SEEDS, structure, 4)(7)


@pytest.mark.parametrize("name", ["host, bytes", "host, structure"])
def test_mutants_in_tensorflow(name, tmp_path, monkeypatch):
    """In a process of their own. `make fuzz-all` runs many more."""
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT.parent}")
    monkeypatch.setattr(fuzz, "FUZZERS", fuzz.FUZZERS | {name: fuzz.limited(name, 1500)})
    state = tmp_path / "state.json"
    for _ in range(2):  # the second time nothing is left to do
        assert fuzz.run([str(state), "--only", name, "--findings", str(tmp_path)]) == 0
    counts = fuzz.load(state, 0)["fuzzers"][name]
    assert counts["inputs"] == 1500 == sum(counts.get(what, 0) for what in fuzz.NAMES.values())
    assert counts["ran"] > 100 and counts["refused"] > 500
