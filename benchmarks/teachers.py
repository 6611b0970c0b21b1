"""Time the forward pass of teachers against the same networks in eager PyTorch.

    pip install --no-deps efficientnet-lite-pytorch==0.1.0
    python benchmarks/teachers.py [--networks NAME ...] [--output FILE.json]

DINOv2 ViT-S/14, EfficientNet-Lite0 and ResNet-50, all with random weights, see 4 pictures of 224
pixels in float32 and bfloat16 (Keras's mixed precision), with one thread and with two. Both sides
are in one process and take turns, so that other work on the machine affects both alike. PyTorch's
side is `transformers` (scaled dot product attention), `efficientnet_lite_pytorch`, and the ResNet
of tests/parity, in float32. Reports medians of the time that passed and of the processor's time.

With --float16 it has that too, which processors compute slowly, and for one picture alone.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from sides import write_results

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "parity"))
SIZE = 224
NETWORKS = {
    "dinov2_vits14": ("vit_small", {"patch_size": 14, "position_grid": 37, "layer_scale": True}),
    "efficientnet_lite0": ("efficientnet_lite0", {}),
    "resnet50": ("resnet50", {}),
}


def torch_network(name: str):
    """The same network in PyTorch, in inference mode."""
    import torch

    if name == "dinov2_vits14":
        from transformers import Dinov2Config, Dinov2Model

        shape = {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6}
        config = Dinov2Config(**shape, image_size=518, patch_size=14, attn_implementation="sdpa")
        return Dinov2Model(config).eval()
    if name == "efficientnet_lite0":
        from efficientnet_lite_pytorch import EfficientNet

        return EfficientNet.from_name(name.replace("_", "-")).eval()
    from oracle.networks import ResNet

    return ResNet(50, fc=torch.nn.Identity()).eval()


def keras_network(name: str) -> Callable:
    """Our network as a compiled function, as training calls it."""
    import tensorflow as tf

    from s2bnn_tf.backbones import build_backbone

    backbone, options = NETWORKS[name]
    network = build_backbone(backbone, (SIZE, SIZE, 3), **options)
    weights = network.get_weights()

    def with_precision(policy: str) -> Callable:
        tf.keras.mixed_precision.set_global_policy(policy)
        twin = build_backbone(backbone, (SIZE, SIZE, 3), **options)
        tf.keras.mixed_precision.set_global_policy(None)
        twin.set_weights(weights)
        return tf.function(lambda images: twin(images, training=False))

    return with_precision


def seconds_of(calls: dict[str, Callable], rounds: int) -> dict[str, dict[str, float]]:
    """The median times of each call, where the calls take turns."""
    passed: dict[str, list[float]] = {name: [] for name in calls}
    processor: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()  # the first one compiles
    for _, (name, call) in itertools.product(range(rounds), calls.items()):
        begin, begin_processor = time.perf_counter(), time.process_time()
        call()
        passed[name].append(time.perf_counter() - begin)
        processor[name].append(time.process_time() - begin_processor)
    return {
        kind: {name: round(statistics.median(values), 4) for name, values in times.items()}
        for kind, times in (("passed", passed), ("processor", processor))
    }


def measure(name: str, threads: int, rounds: int, precisions: list[str], batch: int) -> dict:
    """Compare both sides with a number of threads, which a process can set but once."""
    import numpy as np
    import tensorflow as tf
    import torch

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    torch.set_num_threads(threads)
    images = np.random.default_rng(0).normal(size=(batch, SIZE, SIZE, 3)).astype(np.float32)
    ours, theirs = tf.constant(images), torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    make, reference = keras_network(name), torch_network(name)

    def pytorch() -> None:
        with torch.inference_mode():
            reference(theirs)

    calls: dict[str, Callable] = {"pytorch": pytorch}
    for precision in precisions:
        network = make("float32" if precision == "float32" else f"mixed_{precision}")
        calls[precision] = lambda network=network: network(ours).numpy().astype(np.float64)
    units = {}
    for precision in precisions:
        features = calls[precision]()
        units[precision] = features / np.linalg.norm(features, axis=1, keepdims=True)
    return {
        "network": name,
        "threads": threads,
        "batch_size": batch,
        "seconds": seconds_of(calls, rounds),
        "difference": {
            precision: float(f"{np.abs(unit - units['float32']).max():.1e}")
            for precision, unit in units.items()
        },
    }


def main() -> None:
    """Compare, print the times, and write JSON if requested."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--float16", action="store_true", help="instead of bfloat16; it is slow")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help="write the results as JSON")
    arguments = parser.parse_args()
    if arguments.alone:
        (name,), (threads,) = arguments.networks, arguments.threads
        precisions = ["float32", "float16" if arguments.float16 else "bfloat16"]
        batch = 1 if arguments.float16 else arguments.batch_size
        print(json.dumps(measure(name, threads, arguments.rounds, precisions, batch)))
        return
    results = []
    for name, threads in itertools.product(arguments.networks, arguments.threads):
        options = ["--networks", name, "--threads", str(threads), "--alone"]
        options += ["--batch-size", str(arguments.batch_size)]
        options += ["--float16"] * arguments.float16
        command = [sys.executable, __file__, *options, "--rounds", str(arguments.rounds)]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        done = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, text=True, env=environment
        )
        results.append(json.loads(done.stdout.splitlines()[-1]))
        print(json.dumps(results[-1]), flush=True)
    if arguments.output:
        write_results(arguments.output, results)


if __name__ == "__main__":
    main()
