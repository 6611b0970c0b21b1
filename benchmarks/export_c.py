"""Time the C source of networks against s2bnn_runtime and Larq Compute Engine, on one thread.

    python benchmarks/export_c.py [--rounds 40] [--flags "-O3 -march=native"]
        [--output benchmarks/results/export_c.json]

The networks are one of the shape of the digits' student and QuickNet at 224 pixels, both with
random weights, which changes no time. The three sides take turns in one process, each with copies
of its input and its output; the C source is called through ctypes. The medians and the smallest
times are reported, since other work on the machine slows the first ones down.
"""

from __future__ import annotations

import argparse
import ctypes
import re
import shlex
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from export_c_targets import random_student

from s2bnn_tf.environment import quiet_tensorflow
from s2bnn_tf.files import write_json

SECONDS_A_TURN = 0.03


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=40, help="turns of each side (default 40)")
    parser.add_argument("--flags", default="-O3 -march=native", help="flags of gcc")
    parser.add_argument("--output", type=Path, help="write the results to this JSON file")
    options = parser.parse_args()
    quiet_tensorflow()

    results = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        models = {
            "digits' student": random_student(folder / "student.tflite"),
            "QuickNet": quicknet(folder / "quicknet.tflite"),
        }
        for name, model in models.items():
            sides = open_sides(model, folder, shlex.split(options.flags))
            results[name] = take_turns(sides, options.rounds)
            for side, row in results[name].items():
                print(f"{name:<16} {side:<14} {row}", flush=True)
    if options.output:
        write_json(options.output, {"flags": options.flags, "networks": results})


def open_sides(model: Path, folder: Path, flags: list[str]) -> dict[str, Callable[[], Any]]:
    """Each side as a function that runs one picture."""
    from larq_compute_engine.tflite.python.interpreter import Interpreter as LCE
    from s2bnn_runtime import Interpreter, find_host

    runtime = Interpreter(model, 1, host=find_host("tensorflow"))
    lce = LCE(model.read_bytes(), num_threads=1, use_indirect_bgemm=True)
    x = np.random.default_rng(0).normal(size=lce.input_shapes[0]).astype(np.float32)
    return {
        "C source": open_c(model, folder / model.stem, flags, x),
        "s2bnn_runtime": lambda: runtime.predict(x),
        "LCE, indirect": lambda: lce.predict(x),
    }


def open_c(model: Path, folder: Path, flags: list[str], x: np.ndarray) -> Callable[[], Any]:
    from s2bnn_tf.export import export_c

    export_c(model, folder)
    files = [str(folder / name) for name in ("model.c", "s2bnn_kernels.c")]
    library = str(folder / "model.so")
    command = ["gcc", *flags, "-std=c99", "-shared", "-fPIC", "-o", library, *files, "-lm"]
    subprocess.run(command, check=True)
    loaded = ctypes.CDLL(library)
    size = re.search(r"_OUTPUT_BYTES (\d+)", (folder / "model.h").read_text())
    assert size is not None
    for getter in (loaded.model_input, loaded.model_output):
        getter.restype = ctypes.POINTER(ctypes.c_float)
    target = np.ctypeslib.as_array(loaded.model_input(), (x.size,))
    output = np.ctypeslib.as_array(loaded.model_output(), (int(size[1]) // 4,))
    flat = x.ravel()

    def run() -> np.ndarray:
        target[:] = flat
        loaded.model_run()
        return output.copy()

    return run


def take_turns(sides: dict[str, Callable[[], Any]], rounds: int) -> dict[str, dict[str, float]]:
    counts, times = {}, {name: [] for name in sides}
    for name, run in sides.items():
        run()
        counts[name] = max(1, int(SECONDS_A_TURN / timed(run)))
    for _ in range(rounds):
        for name, run in sides.items():
            times[name] += [timed(run) for _ in range(counts[name])]
    return {
        name: {
            "median_ms": round(1e3 * statistics.median(found), 3),
            "smallest_ms": round(1e3 * min(found), 3),
        }
        for name, found in times.items()
    }


def timed(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def quicknet(path: Path) -> Path:
    import larq_compute_engine
    import larq_zoo
    import tensorflow as tf

    tf.keras.utils.set_random_seed(0)
    network = larq_zoo.sota.QuickNet(input_shape=(224, 224, 3), weights=None)
    path.write_bytes(larq_compute_engine.convert_keras_model(network))
    return path


if __name__ == "__main__":
    main()
