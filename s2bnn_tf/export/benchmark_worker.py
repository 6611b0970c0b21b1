"""Run one `.tflite` in a process of its own, so that the memory measured is the model's.

`benchmark` starts it as a script, and it imports no more than the runtime that was asked for.
It reads one JSON object from standard input, and writes one JSON object per line.
"""

import json
import re
import resource
import sys
import time
from collections.abc import Callable
from importlib import machinery, util
from pathlib import Path
from typing import Any

import numpy as np

# A function that runs the model, the shape of its input, and the name of its kernels.
Loaded = tuple[Callable[[Any], Any], tuple[int, ...], str]


def main() -> None:
    """Do the task on standard input, and report on standard output."""
    task = json.load(sys.stdin)
    load = (_prepare_lce if task["runtime"] == "lce" else _prepare_s2bnn)(task)
    before = _peak_memory()
    started = time.perf_counter()
    predict, shape, kernel = load()
    loaded = time.perf_counter() - started
    image = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
    seconds = []
    for run in range(-task["warmup"], task["runs"]):
        started = time.perf_counter()
        predict(image)
        if run >= 0:
            seconds.append(time.perf_counter() - started)
            print(json.dumps({"done": run + 1}), flush=True)
    result = {
        "seconds": seconds,
        "kernel": kernel,
        "load_seconds": loaded,
        "memory_before_bytes": before,
        "memory_peak_bytes": _peak_memory(),
    }
    print(json.dumps(result), flush=True)


def _prepare_lce(task: dict[str, Any]) -> Callable[[], Loaded]:
    """Import Larq Compute Engine, and return a function that loads the model."""
    wrapper = _load_wrapper(task["library"])

    def load() -> Loaded:
        interpreter = wrapper.LiteInterpreter(
            Path(task["model"]).read_bytes(),
            task["threads"],
            task["use_reference_bconv"],
            task["use_indirect_bgemm"],
            False,  # use_xnnpack
        )
        kernel = "indirect" if task["use_indirect_bgemm"] else "reference"
        return lambda image: interpreter.predict([image]), interpreter.input_shapes[0], kernel

    return load


def _prepare_s2bnn(task: dict[str, Any]) -> Callable[[], Loaded]:
    """The same with s2bnn_runtime, in LiteRT's interpreter if installed, or in TensorFlow's."""
    sys.path.append(task["folder"])
    import s2bnn_runtime

    host = s2bnn_runtime.find_host()

    def load() -> Loaded:
        interpreter = s2bnn_runtime.Interpreter(task["model"], task["threads"], host=host)
        shape = interpreter.input_details[0]["shape"]
        return interpreter.predict, shape, s2bnn_runtime.kernels()

    return load


def _load_wrapper(library: str) -> Any:
    """Larq Compute Engine's interpreter alone; its package would load all of TensorFlow."""
    loader = machinery.ExtensionFileLoader("interpreter_wrapper_lite", library)
    spec = util.spec_from_file_location(loader.name, library, loader=loader)
    assert spec is not None
    module = util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def _peak_memory() -> int:
    """The largest resident size so far, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        # ru_maxrss would include the peak of the process that started this one, on Linux.
        return 1024 * int(re.findall(r"VmHWM:\s+(\d+)", status.read_text())[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
