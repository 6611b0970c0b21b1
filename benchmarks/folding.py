"""Measure what folding the shifts around activations saves: operations, bytes, milliseconds.

    python benchmarks/folding.py [--image-size 224] [--runs 30] [--output folding.json]

ReActNet-A with random weights is converted with and without folding. Both files run in turn on one
thread in Larq Compute Engine's interpreter and, where it is installed, in s2bnn_runtime.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from importlib.util import find_spec

import numpy as np

from s2bnn_tf.environment import quiet_tensorflow


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--output", help="write the results to this JSON file")
    options = parser.parse_args()
    quiet_tensorflow()

    files = {name: convert(name == "folded", options.image_size) for name in ("plain", "folded")}
    rows = []
    for runtime in ("lce", "s2bnn") if find_spec("s2bnn_runtime") else ("lce",):
        medians = measure(files, runtime, options.image_size, options.runs)
        for name, model in files.items():
            rows.append({"runtime": runtime, "file": name, **describe(model), **medians[name]})
            print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    if options.output:
        with open(options.output, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=2)


def convert(fold: bool, size: int) -> bytes:
    import tensorflow as tf

    from s2bnn_tf.backbones import Encoder, build_backbone
    from s2bnn_tf.export import convert_model, deployment_model

    tf.keras.utils.set_random_seed(0)
    encoder = Encoder(build_backbone("reactnet", (size, size, 3)))
    rng = np.random.default_rng(0)
    for weight in encoder.backbone.weights:  # every shift is initialized to zero
        if "shift" in weight.name or "bias" in weight.name:
            weight.assign(rng.normal(0, 0.3, weight.shape))
    return convert_model(deployment_model(encoder, size, fold=fold), output_name="features")


def describe(model: bytes) -> dict[str, int]:
    from s2bnn_tf.tflite.graph import TFLiteGraph

    return {"operations": len(TFLiteGraph(model).operations), "size_bytes": len(model)}


def measure(files: dict[str, bytes], runtime: str, size: int, runs: int) -> dict[str, dict]:
    """Return the median milliseconds of each file; the files run in turn."""
    if runtime == "s2bnn":
        from s2bnn_runtime import Interpreter, find_host

        host = find_host("tensorflow")
        interpreters = {name: Interpreter(model, host=host) for name, model in files.items()}
    else:
        from larq_compute_engine.tflite.python.interpreter import Interpreter as LceInterpreter

        interpreters = {
            name: LceInterpreter(model, use_indirect_bgemm=True) for name, model in files.items()
        }
    image = np.random.default_rng(0).uniform(0, 255, (1, size, size, 3)).astype(np.float32)
    times: dict[str, list[float]] = {name: [] for name in files}
    for _ in range(runs):
        for name, interpreter in interpreters.items():
            started = time.perf_counter()
            interpreter.predict(image)
            times[name].append(1000 * (time.perf_counter() - started))
    return {name: {"median_ms": round(statistics.median(t[2:]), 2)} for name, t in times.items()}


if __name__ == "__main__":
    main()
