"""Write text_encoder.onnx and tokenizer.json: a text's vector is the mean of its tokens' rows.

pip install onnx tokenizers
python tests/golden/make_text_encoder.py tests/golden/text_encoder
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers

TOKENS = ["[unknown]", "a", "photo", "of", "red", "green", "cat", "dog", "forklift", "."]
DIM = 8


def encoder() -> onnx.ModelProto:
    rows = np.random.default_rng(0).normal(size=(len(TOKENS), DIM)).astype(np.float32)
    given = [
        helper.make_tensor_value_info(name, TensorProto.INT64, [1, "tokens"])
        for name in ("input_ids", "attention_mask")
    ]
    nodes = [
        helper.make_node("Gather", ["rows", "input_ids"], ["each"]),
        helper.make_node("Cast", ["attention_mask"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["floats", "last"], ["mask"]),
        helper.make_node("Mul", ["each", "mask"], ["kept"]),
        helper.make_node("ReduceMean", ["kept"], ["embedding"], axes=[1], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "text_encoder",
        given,
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [1, DIM])],
        [
            numpy_helper.from_array(rows, "rows"),
            numpy_helper.from_array(np.array([-1], np.int64), "last"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def main(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    onnx.save(encoder(), folder / "text_encoder.onnx")
    tokenizer = Tokenizer(
        models.WordLevel({token: n for n, token in enumerate(TOKENS)}, "[unknown]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.enable_truncation(6)
    tokenizer.enable_padding(length=6)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
