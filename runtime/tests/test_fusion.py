"""Random graphs of binary and float ops: fused, every result equals that of the ops one by one."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from graphs import Bconv, Graph, words_of
from tensorflow.lite.python import schema_py_generated as schema


class RandomGraph:
    """Grows a graph of float maps (tensor, shape) with binary convolutions and the ops between
    them.
    """

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.graph = Graph()
        shape = (
            1,
            int(self.rng.integers(2, 7)),
            int(self.rng.integers(2, 12)),
            int(self.rng.choice([20, 32, 64, 96])),
        )
        self.input_shape = shape
        self.input = self.graph.tensor(shape)
        self.maps = [(self.input, shape)]

    def grow(self, count: int) -> bytes:
        grow = [
            self.bconv,
            self.bconv,
            self.arithmetic,
            self.arithmetic,
            self.vector,
            self.vector,
            self.prelu,
            self.relu,
        ]
        grow += [self.concat, self.pool]
        self.maps.append(
            self.bconv(*self.maps[0])
        )  # without one the graph would stay with the host
        for _ in range(count):
            self.maps.append(self.rng.choice(grow)(*self.pick()))
        outputs = [tensor for tensor, _ in self.maps[1:] if self.rng.random() < 0.2]
        return self.graph.build([self.input], sorted({*outputs, self.maps[-1][0]}))

    def pick(self):
        """Pick any map, most likely one of the latest."""
        return self.maps[max(0, len(self.maps) - 1 - int(self.rng.exponential(1.5)))]

    def activation(self) -> int:
        return int(self.rng.choice([0, 0, 0, 1, 2, 3]))

    def values(self, count: int) -> int:
        return self.graph.constant(self.rng.normal(0, 1, count).astype(np.float32))

    def bconv(self, x, shape):
        bits = self.graph.tensor((*shape[:3], words_of(shape[3])), "int32")
        self.graph.custom("LceQuantize", [x], bits)
        case = Bconv(
            height=shape[1],
            width=shape[2],
            channels_in=shape[3],
            channels_out=int(self.rng.choice([shape[3], 32, 48])),
            filter=(1, 1) if min(shape[1:3]) < 3 else (3, 3),
            stride=(1, 1) if self.rng.random() < 0.7 else (2, 2),
            pad_value=int(self.rng.integers(2)),
            seed=int(self.rng.integers(1 << 30)),
        )
        if case.pad_value == 1:
            case = dataclasses.replace(case, activation=str(self.rng.choice(["none", "relu"])))
        return case.add_to(self.graph, bits), (1, *case.output_size(), case.channels_out)

    def arithmetic(self, x, shape):
        others = [tensor for tensor, other in self.maps if other == shape]
        operands = [x, int(self.rng.choice(others))]
        self.rng.shuffle(operands)
        return self.binary(operands, shape), shape

    def vector(self, x, shape):
        return self.binary([x, self.values(int(self.rng.choice([1, shape[3]])))], shape), shape

    def binary(self, operands, shape):
        name = str(self.rng.choice(["ADD", "ADD", "MUL", "SUB"]))
        options = {"ADD": schema.AddOptionsT, "MUL": schema.MulOptionsT, "SUB": schema.SubOptionsT}[
            name
        ]()
        options.fusedActivationFunction = self.activation()
        return self.graph.builtin(name, operands, self.graph.tensor(shape), options)

    def prelu(self, x, shape):
        alpha = self.graph.constant(self.rng.normal(0, 1, (1, 1, shape[3])).astype(np.float32))
        return self.graph.builtin("PRELU", [x, alpha], self.graph.tensor(shape)), shape

    def relu(self, x, shape):
        name = str(self.rng.choice(["RELU", "RELU6", "RELU_N1_TO_1"]))
        return self.graph.builtin(name, [x], self.graph.tensor(shape)), shape

    def concat(self, x, shape):
        others = [
            (tensor, other)
            for tensor, other in self.maps
            if other[:3] == shape[:3] and other[3] + shape[3] < 200
        ]
        if not others:
            return x, shape
        other, other_shape = others[int(self.rng.integers(len(others)))]
        joined = (*shape[:3], shape[3] + other_shape[3])
        options = schema.ConcatenationOptionsT()
        options.axis = int(self.rng.choice([3, -1]))
        return self.graph.builtin(
            "CONCATENATION", [x, other], self.graph.tensor(joined), options
        ), joined

    def pool(self, x, shape):
        options = schema.Pool2DOptionsT()
        options.padding = 0
        options.strideH, options.strideW = (int(s) for s in self.rng.integers(1, 3, 2))
        options.filterHeight, options.filterWidth = (int(s) for s in self.rng.integers(1, 4, 2))
        options.fusedActivationFunction = self.activation()
        result = (1, -(-shape[1] // options.strideH), -(-shape[2] // options.strideW), shape[3])
        name = str(self.rng.choice(["AVERAGE_POOL_2D", "MAX_POOL_2D"]))
        return self.graph.builtin(name, [x], self.graph.tensor(result), options), result


@pytest.mark.parametrize("seed", range(80))
def test_fused_equals_lce_to_the_bit(run, lce, seed):
    rng = np.random.default_rng(seed)
    graph = RandomGraph(seed)
    model = graph.grow(int(rng.integers(3, 25)))
    x = rng.normal(size=graph.input_shape).astype(np.float32)
    wanted = lce(model, x)
    for options in ({}, {"kernels": "portable"}, {"num_threads": 2}):
        result = run(model, x, **options)
        for got, want in zip(
            result if isinstance(result, list) else [result],
            wanted if isinstance(wanted, list) else [wanted],
        ):
            np.testing.assert_array_equal(got, want, f"{options}")


def test_a_reactnet_block_is_one_step(host):
    """Shortcut, biases, PReLU and the next threshold run in the pass of the convolution."""
    from s2bnn_runtime import Interpreter
    from s2bnn_runtime.delegate import read_profile

    graph = RandomGraph(0)
    shape = graph.input_shape = (1, 8, 8, 64)
    graph.graph.tensors[graph.input].shape = list(shape)
    bias = [graph.values(64) for _ in range(4)]

    def add(x, y):
        output = graph.graph.tensor(shape)
        return graph.graph.builtin("ADD", [x, y], output, schema.AddOptionsT())

    x = graph.input
    for _ in range(2):
        bits = graph.graph.custom(
            "LceQuantize", [add(x, bias[0])], graph.graph.tensor((1, 8, 8, 2), "int32")
        )
        y = add(
            Bconv(height=8, width=8, channels_in=64, channels_out=64).add_to(graph.graph, bits), x
        )
        x = add(graph.prelu(add(y, bias[1]), shape)[0], bias[2])
    interpreter = Interpreter(graph.graph.build([graph.input], [x]), host=host, profile="block")
    interpreter.predict(np.zeros(shape, np.float32))
    names = [[step["name"] for step in partition] for partition in read_profile("block")]
    assert names == [
        [
            "LOAD+BIAS+QUANTIZE",
            "LceBconv2d+ADD+BIAS+PRELU+BIAS+STORE+BIAS+QUANTIZE",
            "LceBconv2d+ADD+BIAS+PRELU+BIAS+STORE",
        ]
    ]
