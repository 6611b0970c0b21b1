"""Time one training step at 224 pixels against the same step in PyTorch.

    python benchmarks/train_step.py --torch-python VENV/bin/python [--compiled] [--output FILE.json]
    python benchmarks/train_step.py --parts [--output FILE.json]

A ReActNet-A student and a ResNet-50 teacher are trained in batches of 16 with distillation only and
with both losses, in float32 and in bfloat16 (Keras's mixed precision, PyTorch's autocast), with two
threads each. VENV has torch and numpy. PyTorch is eager; with --compiled, a third side compiles its
networks, which takes a minute or two. The sides are separate processes that take turns step by
step, so other work on the machine affects all alike. Reports medians and the peak resident memory.

With --parts it times the parts of our step, and a lower bound: the same convolutions with their
gradients and nothing else.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from sides import take_turns, write_results

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
REFERENCE = Path(__file__).parent / "reference" / "train_step_torch.py"
SIZE = 224


def build(objective: str, precision: str):
    """Build the networks with random weights."""
    import tensorflow as tf

    from s2bnn_tf.backbones import Encoder, build_backbone, projection_head
    from s2bnn_tf.layers import load_kernels
    from s2bnn_tf.objectives import KeyQueue
    from s2bnn_tf.training import Adam, Pretrainer

    def encoder(name: str) -> Encoder:
        backbone = build_backbone(name, (SIZE, SIZE, 3))
        made = Encoder(backbone, projection_head(int(backbone.output_shape[-1]), 128))
        made.build((None, SIZE, SIZE, 3))
        return made

    tf.keras.utils.set_random_seed(0)
    tf.keras.mixed_precision.set_global_policy(
        "float32" if precision == "float32" else f"mixed_{precision}"
    )
    load_kernels()
    both = objective == "both"
    pretrainer = Pretrainer(
        student=encoder("reactnet"),
        teacher=encoder("resnet50"),
        momentum_encoder=encoder("reactnet") if both else None,
        queue=KeyQueue(65536, 128) if both else None,
        contrastive_weight=1.0 if both else 0.0,
    )
    optimizer = Adam(3e-4)
    optimizer.build(pretrainer.student.trainable_variables)
    pretrainer.compile(optimizer=optimizer)
    return pretrainer


def finished(result) -> None:
    """Wait until every tensor in a result has been computed."""
    import tensorflow as tf

    for tensor in tf.nest.flatten(result):
        if tensor is not None:
            tensor.numpy()


def serve(objective: str, batch_size: int, precision: str) -> None:
    """Run one step, then one more for each line on standard input."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(2)
    pretrainer = build(objective, precision)
    views = tuple(tf.random.normal((batch_size, SIZE, SIZE, 3)) for _ in range(2))
    step = tf.function(lambda: pretrainer.train_step(views))
    for _ in itertools.chain([""], sys.stdin):
        begin = time.perf_counter()
        finished(step())
        seconds = time.perf_counter() - begin
        peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        print(json.dumps({"seconds": seconds, "peak_mb": peak}), flush=True)


def compare(objective: str, precision: str, arguments) -> dict:
    """Time both sides in turn."""
    common = ["--objective", objective, "--precision", precision]
    common += ["--batch-size", str(arguments.batch_size)]
    commands = {
        "s2bnn_tf": [sys.executable, __file__, "--serve", *common],
        "pytorch": [arguments.torch_python, str(REFERENCE), *common],
    }
    if arguments.compiled:
        commands["torch.compile"] = [*commands["pytorch"], "--compile"]
    sides = {}
    for name, command in commands.items():
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        sides[name] = subprocess.Popen(command, **pipes)
        sides[name].stdout.readline()  # the first step traces or allocates
    told = take_turns(sides, arguments.steps)
    seconds = {n: statistics.median(t["seconds"] for t in steps) for n, steps in told.items()}
    return {
        "objective": objective,
        "precision": precision,
        "seconds_a_step": {name: round(value, 2) for name, value in seconds.items()},
        "images_per_second": {n: round(arguments.batch_size / v, 2) for n, v in seconds.items()},
        "peak_mb": {name: steps[-1]["peak_mb"] for name, steps in told.items()},
        "times_as_fast": {
            name: round(value / seconds["s2bnn_tf"], 2)
            for name, value in seconds.items()
            if name != "s2bnn_tf"
        },
        "each_step": {n: [round(t["seconds"], 2) for t in steps] for n, steps in told.items()},
    }


def convolutions(network, batch_size: int, *, backward: bool) -> Callable:
    """Return a function that runs a network's convolutions, with gradients if requested."""
    import tensorflow as tf

    layers = [la for la in network._flatten_layers() if isinstance(la, tf.keras.layers.Conv2D)]
    inputs = {la.input_shape: tf.random.normal((batch_size, *la.input_shape[1:])) for la in layers}
    outputs = {
        la.output_shape: tf.random.normal((batch_size, *la.output_shape[1:])) for la in layers
    }

    def run() -> list[tf.Tensor]:
        results = []
        for layer in layers:
            x, kernel = inputs[layer.input_shape], tf.convert_to_tensor(layer.kernel)
            how = {"strides": [1, *layer.strides, 1], "padding": layer.padding.upper()}
            results.append(tf.raw_ops.Conv2D(input=x, filter=kernel, **how))
            if backward:
                how["out_backprop"] = outputs[layer.output_shape]
                results.append(
                    tf.raw_ops.Conv2DBackpropFilter(input=x, filter_sizes=kernel.shape, **how)
                )
                if x.shape[-1] > 3:  # the gradient of the images is not needed
                    results.append(
                        tf.raw_ops.Conv2DBackpropInput(input_sizes=x.shape, filter=kernel, **how)
                    )
        return [result[0, 0, 0] for result in results]  # little to copy

    return run


def measure_parts(objective: str, steps: int, batch_size: int, precision: str) -> dict:
    """Return the median seconds of the parts of our step, and of its lower bound."""
    import tensorflow as tf

    from s2bnn_tf.training import update_momentum

    tf.config.threading.set_intra_op_parallelism_threads(2)
    pretrainer = build(objective, precision)
    student, teacher = pretrainer.student, pretrainer.teacher
    other, queue = pretrainer.momentum_encoder, pretrainer.queue
    views = tuple(tf.random.normal((batch_size, SIZE, SIZE, 3)) for _ in range(2))
    key = tf.math.l2_normalize(tf.random.normal((batch_size, 128)), axis=-1)
    gradients = [tf.zeros_like(v) for v in student.trainable_variables]
    pieces = {
        "step": lambda: pretrainer.train_step(views),
        "teacher": lambda: teacher(views[0], training=False),
        "student_forward": lambda: student(views[0], training=True),
        "student_forward_and_backward": lambda: pretrainer.differentiate(
            views[0], key if other is not None else None, key
        ),
        "optimizer": lambda: pretrainer.apply(gradients),
        "floor_teacher": convolutions(teacher, batch_size, backward=False),
        "floor_student": convolutions(student, batch_size, backward=True),
    }
    if objective == "both":
        pieces["momentum_encoder_forward"] = lambda: other(views[1], training=True)
        pieces["momentum_update"] = lambda: update_momentum(student, other, 0.999)
        pieces["queue"] = lambda: queue.enqueue(key)
        pieces["floor_momentum_encoder"] = convolutions(other, batch_size, backward=False)
    graphs = {name: tf.function(piece) for name, piece in pieces.items()}
    seconds: dict[str, list[float]] = {name: [] for name in pieces}
    for turn in range(steps + 1):
        for name, graph in graphs.items():
            begin = time.perf_counter()
            finished(graph())
            if turn > 0:  # the first traces
                seconds[name].append(time.perf_counter() - begin)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    floor = sum(value for name, value in median.items() if name.startswith("floor"))
    return {
        "objective": objective,
        "precision": precision,
        "seconds": {name: round(value, 4) for name, value in median.items()},
        "floor_seconds": round(floor, 2),
        "times_the_floor": round(median["step"] / floor, 2),
    }


def main() -> None:
    """Compare both sides, print the times, and write JSON if requested."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--torch-python", default=sys.executable, help="the Python of an environment with torch"
    )
    parser.add_argument("--compiled", action="store_true", help="and with torch.compile")
    parser.add_argument("--objective", choices=["distillation", "both"])
    parser.add_argument("--precision", choices=["float32", "bfloat16"])
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--parts", action="store_true", help="time the parts of our step")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help="write the results as JSON")
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.objective, arguments.batch_size, arguments.precision)
        return
    if not arguments.parts:
        has_torch = subprocess.run([arguments.torch_python, "-c", "import torch"], check=False)
        if has_torch.returncode:
            parser.error("name a Python with torch by --torch-python, or use --parts alone")
    results = []
    objectives = [arguments.objective] if arguments.objective else ["distillation", "both"]
    precisions = [arguments.precision] if arguments.precision else ["float32", "bfloat16"]
    for objective, precision in itertools.product(objectives, precisions):
        if arguments.parts:
            found = measure_parts(objective, arguments.steps, arguments.batch_size, precision)
        else:
            found = compare(objective, precision, arguments)
        results.append(found)
        print(json.dumps(found), flush=True)
    if arguments.output:
        write_results(arguments.output, results)


if __name__ == "__main__":
    main()
