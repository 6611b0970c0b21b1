"""Write the seeds of the fuzzers, tests/cpp/corpus: small models, and options of the custom ops.

PYTHONPATH=.:tests python tools/make_corpus.py       (needs TensorFlow, for its schema)
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import flatbuffers
import numpy as np
from flatbuffers import flexbuffers
from graphs import Bconv, Graph
from tensorflow.lite.python import schema_py_generated as schema
from test_float_steps import Network
from test_fusion import RandomGraph
from test_ops import bmaxpool_model, dequantize_model, quantize_model

CORPUS = Path(__file__).parent.parent / "tests" / "cpp" / "corpus"


def models() -> dict[str, bytes]:
    case = Bconv()
    small = Bconv(height=3, width=4, channels_in=33, channels_out=5, filter=(2, 1))
    variants = {
        "bconv": case,
        "bconv-small": small,
        "bconv-ones": dataclasses.replace(small, pad_value=1, activation="relu6"),
        "bconv-valid": dataclasses.replace(small, padding="VALID", stride=(2, 1)),
        "bconv-dilated": dataclasses.replace(small, dilation=(2, 3)),
        "bconv-groups": dataclasses.replace(small, channels_in=64, channels_out=6, groups=2),
        "bconv-int8": dataclasses.replace(small, output="int8"),
        "bconv-bits": dataclasses.replace(small, output="bits", pad_value=1),
        "bconv-large-filter": dataclasses.replace(small, filter=(5, 5)),
    }
    result = {name: variant.model() for name, variant in variants.items()}
    for dtype, quantization in (
        ("float32", {}),
        ("int8", {"scale": 0.1, "zero_point": 3}),
        ("bool", {}),
    ):
        result[f"quantize-{dtype}"] = quantize_model((1, 2, 3, 33), dtype, **quantization)
        result[f"dequantize-{dtype}"] = dequantize_model((1, 2, 3, 33), dtype, **quantization)
    result["bmaxpool"] = bmaxpool_model(4, 3, 33, (3, 2), (2, 1), "SAME")
    result |= float_steps()
    for seed in range(50):  # graphs with few channels are small
        graph = RandomGraph(seed)
        model = graph.grow(6)
        if graph.input_shape[3] == 20 and len(model) < 9000:
            result[f"graph{seed}"] = model
    result["partitions"] = partitions()
    return {name: complete(model) for name, model in result.items()}


def float_steps() -> dict[str, bytes]:
    """Models of the steps around convolutions: a stem, and those that follow the last one."""
    networks = {}
    network = networks["stem"] = Network((1, 6, 8, 3))
    x, shape = network.x
    scaled = network.op("MUL", [x, network.values(3)], shape, schema.MulOptionsT())
    normal = network.op("ADD", [scaled[0], network.values(3)], shape, schema.AddOptionsT())
    stem = [network.bconv(network.conv(normal, 8, (3, 3), (2, 2), "SAME", activation=1), 4)]

    network = networks["pooled-mean"] = Network((1, 4, 8, 32))
    y = network.bconv(network.x, 32)
    half = network.halve(network.op("PRELU", [y[0], network.values(1, 1, 32)], y[1]))
    axes = network.constant(np.array([2, 1], np.int32))  # clear_unused_bits() would damage [1, 2]
    mean = [network.op("MEAN", [half[0], axes], (1, 32), schema.ReducerOptionsT())]

    network = networks["twice"] = Network((1, 3, 3, 32))
    doubled = network.twice(network.add(network.bconv(network.x, 32), network.x))
    twice = [network.add(network.bconv(doubled, 64), doubled)]

    network = networks["pools"] = Network((1, 4, 4, 32))
    y = network.bconv(network.x, 8)
    pools = [network.halve(y, "MAX_POOL_2D"), network.halve(y)]
    return {
        name: network.build([network.x[0]], [tensor for tensor, _ in outputs])
        for (name, network), outputs in zip(networks.items(), (stem, mean, twice, pools))
    }


def partitions() -> bytes:
    """Two inputs and outputs, and three partitions between operations that the host runs."""
    graph = Graph()
    xs = [graph.tensor((1, 3, 40)) for _ in range(2)]
    y = graph.builtin("ADD", xs, graph.tensor((1, 3, 40)), schema.AddOptionsT())
    for name in ("LOGISTIC", "SIN", "NEG"):
        bits = graph.custom("LceQuantize", [y], graph.tensor((1, 3, 2), "int32"))
        signs = graph.custom("LceDequantize", [bits], graph.tensor((1, 3, 40)))
        y = graph.builtin(name, [signs], graph.tensor((1, 3, 40)))
    shape = graph.constant(np.array([1, 120], np.int32))
    flat = graph.builtin("RESHAPE", [y, shape], graph.tensor((1, 120)), schema.ReshapeOptionsT())
    return graph.build(xs, [signs, flat])


def complete(model: bytes) -> bytes:
    """The same model with all numbers in it, also those of default values: mutations find them."""
    builder = flatbuffers.Builder(len(model))
    builder.ForceDefaults(True)
    content = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model))
    builder.Finish(content.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def options() -> dict[str, bytes]:
    bconv = Bconv().options
    pool = {
        "filter_height": 2,
        "filter_width": 3,
        "stride_height": 2,
        "stride_width": 1,
        "padding": 0,
    }
    wide = {name: np.int64(value) + (1 << 40) for name, value in bconv.items()}
    return {
        "bconv": flexbuffers.Dumps(bconv),
        "bmaxpool": flexbuffers.Dumps(pool),
        "wide": flexbuffers.Dumps({name: int(value) for name, value in wide.items()}),
        "other-types": flexbuffers.Dumps(
            {**pool, "padding": True, "extra": 1.5, "name": "text", "list": [1, 2]}
        ),
        "vector": flexbuffers.Dumps([1, 2, 3]),
    }


def main() -> None:
    for kind, seeds in (("model", models()), ("options", options())):
        directory = CORPUS / kind
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in seeds.items():
            (directory / name).write_bytes(content)
        print(f"{directory}: {len(seeds)} seeds, {sum(map(len, seeds.values())) / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
