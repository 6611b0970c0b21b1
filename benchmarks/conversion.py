"""Measure how long it takes to convert a ReActNet-A in memory to the bytes of a `.tflite`.

    python benchmarks/conversion.py [--image-size 224] [--output conversion.json]

Runs `larq_compute_engine.convert_keras_model` and `s2bnn_tf.export.convert_model` one after the
other in one process, and prints the wall-clock time and the processor time of each stage. A busy
machine distorts only the former.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--output", help="write the results to this JSON file")
    options = parser.parse_args()

    import larq_compute_engine as lce

    from s2bnn_tf.backbones import Encoder, build_backbone
    from s2bnn_tf.export import convert_model, deployment_model
    from s2bnn_tf.tflite.graph import TFLiteGraph

    size = options.image_size
    encoder = Encoder(build_backbone("reactnet", (size, size, 3)))
    rows: list[dict] = []

    def measure(name: str, work: Callable):
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        row = {"name": name, "wall_seconds": time.perf_counter() - wall}
        row["cpu_seconds"] = time.process_time() - cpu
        if isinstance(result, bytes):
            row["size_bytes"] = len(result)
            row["operations"] = Counter(item.name for item in TFLiteGraph(result).operations)
        rows.append(row)
        print(
            f"{name:<28}{row['wall_seconds']:>8.1f} s{row['cpu_seconds']:>8.1f} s processor"
            + (f"{sum(row['operations'].values()):>6} operations" if "operations" in row else ""),
            flush=True,
        )
        return result

    deployed = measure("ours: deployment_model", lambda: deployment_model(encoder, size))
    measure("ours: convert_model", lambda: convert_model(deployed, output_name="features"))
    measure("lce.convert_keras_model", lambda: lce.convert_keras_model(encoder.backbone))
    if options.output:
        with open(options.output, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=2)


if __name__ == "__main__":
    main()
