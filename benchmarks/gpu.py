"""Measure training on a GPU: steps a second and memory, in about five minutes.

    python benchmarks/gpu.py [--steps 30] [--batch-size 64] [--output FILE.json]
    python benchmarks/gpu.py --graph

A ReActNet-A student, guided by a ResNet-50 and by contrast at 224 pixels, in float32 and in
float16, from views that lie in the GPU's memory; and the recipe for photographs,
configs/photos/best_step1.yaml, as `s2bnn train` runs it, from JPEGs, with a teacher of random
weights. What a step did outside of the GPU is counted from TensorFlow's record of one step. Prints
a table, and one line of JSON at the end.

With --graph, which needs no GPU, it says which operations of the step with both losses have no
kernel for one, and which of their tensors are made in the GPU's memory and read in the host's.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["S2BNN_NATIVE"] = "0"  # the step's graph is that of a GPU, also where there is none

import tensorflow as tf
from gpu_kernels import copies_to_host, without_kernel
from sides import write_results
from tensorflow.python.eager import context
from train_step import SIZE, build, finished

RECIPE = Path(__file__).parent.parent / "configs" / "photos" / "best_step1.yaml"
TEACHER = RECIPE.parent.parent / "fit" / "teacher.yaml"
WARM_UP = 5


def main() -> None:
    """Measure, print a table and one line of JSON, and write it if requested."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--graph", action="store_true", help="look at the graph; needs no GPU")
    parser.add_argument("--output", type=Path, help="write the results as JSON")
    arguments = parser.parse_args()
    if arguments.graph:
        print(json.dumps({name: look_at_graph(name) for name in ("float32", "float16")}))
        return
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        sys.exit(
            "TensorFlow finds no GPU here: install `s2bnn-tf[cuda]` on a machine that has one, "
            "or use --graph, which needs none."
        )
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    cases = {
        f"both losses, {precision}": lambda precision=precision: measure_step(
            precision, arguments.batch_size, arguments.steps
        )
        for precision in ("float32", "float16")
    }
    cases["photographs"] = lambda: measure_recipe(arguments.steps)
    results = [{"case": name, **attempt(measure)} for name, measure in cases.items()]
    print(make_table(results))
    details = tf.config.experimental.get_device_details(gpus[0])
    found = {"gpu": details, "tensorflow": tf.__version__, "results": results}
    if arguments.output:
        write_results(arguments.output, [found])
    print(json.dumps(found))


def attempt(measure) -> dict:
    """Measure one case, or say that it needs more memory than the GPU has."""
    tf.keras.backend.clear_session()
    tf.config.experimental.reset_memory_stats("GPU:0")
    try:
        found = measure()
    except tf.errors.ResourceExhaustedError:
        return {"error": "out of memory; choose a smaller --batch-size"}
    return {
        **found,
        "peak_mb": round(tf.config.experimental.get_memory_info("GPU:0")["peak"] / 1e6),
    }


def measure_step(precision: str, batch_size: int, steps: int) -> dict:
    """Time the step with both losses on views in memory."""
    step = make_step(precision, batch_size)
    outside = placement(step)
    for _ in range(WARM_UP):
        finished(step())
    begin = time.perf_counter()
    for _ in range(steps):
        result = step()
    finished(result)
    return rates((time.perf_counter() - begin) / steps, batch_size) | outside


def make_step(precision: str, batch_size: int) -> tf.types.experimental.GenericFunction:
    """A training step with both losses as a graph, on random views of its own."""
    pretrainer = build("both", precision)
    views = tuple(tf.random.normal((batch_size, SIZE, SIZE, 3)) for _ in range(2))
    return tf.function(lambda: pretrainer.train_step(views))


def measure_recipe(steps: int, images: int = 400) -> dict:
    """Time the recipe for photographs, with decoding, from its caching of the teacher on."""
    from views import write_photographs

    from s2bnn_tf.config import load_config
    from s2bnn_tf.runs import leave_untrained
    from s2bnn_tf.training import pretrain

    clock = Clock()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "photographs").mkdir()
        write_photographs(folder / "photographs", images)
        source = f"data.source=folder:{folder}/photographs"
        leave_untrained(load_config(TEACHER, [source]), folder / "teacher")
        changes = [source, f"teacher.weights={folder}/teacher", f"steps={WARM_UP + steps}"]
        config = load_config(RECIPE, [*changes, "teacher.reduce_to=null"])
        pretrain(config, folder / "run", callbacks=[clock])
    seconds = (clock.times[-1] - clock.times[WARM_UP - 1]) / (len(clock.times) - WARM_UP)
    return rates(seconds, config.data.batch_size)


class Clock(tf.keras.callbacks.Callback):
    """Notes when each step ended."""

    def __init__(self):
        super().__init__()
        self.times: list[float] = []

    def on_train_batch_end(self, batch, logs=None) -> None:
        self.times.append(time.perf_counter())


def rates(seconds: float, batch_size: int) -> dict:
    """What a step's seconds come to."""
    return {
        "batch_size": batch_size,
        "steps_per_second": round(1 / seconds, 2),
        "images_per_second": round(batch_size / seconds, 1),
    }


def placement(step) -> dict:
    """Run a first step, and count what it did outside of the GPU, as TensorFlow recorded it."""
    context.context().enable_run_metadata()
    finished(step())
    graphs = context.context().export_run_metadata().partition_graphs
    context.context().disable_run_metadata()
    nodes = [node for graph in graphs for node in graph.node]
    on_host = Counter(n.op for n in nodes if "CPU" in n.device and not n.op.startswith("_"))
    copies = sum(n.op in ("_Send", "_HostSend") and "GPU" in n.device for n in nodes)
    return {"operations_on_host": dict(on_host.most_common()), "copies_to_host": copies}


def look_at_graph(precision: str) -> dict:
    """Say what of the step no GPU can run, and what of it reaches the host."""
    graph = make_step(precision, 2).get_concrete_function().graph
    return {
        "operations": len(graph.get_operations()),
        "without_kernel": dict(without_kernel(graph)),
        "copies_to_host": dict(copies_to_host(graph)),
    }


def make_table(results: list[dict]) -> str:
    """The results as a table in Markdown."""
    columns = ("batch_size", "steps_per_second", "images_per_second", "peak_mb", "copies_to_host")
    rows = [["case", *(column.replace("_", " ") for column in columns)], ["---"] * 6]
    for found in results:
        rows.append([found["case"], *(found.get(column, "-") for column in columns)])
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)


if __name__ == "__main__":
    main()
