"""Measure a `.tflite` on this machine: latency, memory, size and operations."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.errors import DeviceError
from s2bnn_tf.export import benchmark_worker
from s2bnn_tf.export.operations import file_operations, operation_table
from s2bnn_tf.image_size import describe_size, plain_size
from s2bnn_tf.progress import Progress, no_progress
from s2bnn_tf.tflite import (
    RUNTIMES,
    TFLiteEncoder,
    TFLiteGraph,
    choose_runtime,
    kernel_options,
    read_graph,
)


def benchmark(
    model_path: str | Path,
    *,
    threads: int = 1,
    runs: int = 50,
    warmup: int = 5,
    runtime: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure a model in a process of its own.

    Args:
        model_path: A `.tflite` made by `s2bnn convert`.
        threads: The number of threads of the interpreter.
        runs: The number of images that are timed, one at a time.
        warmup: The number of images before them that are not timed.
        runtime: `"lce"` or `"s2bnn"`. Defaults to s2bnn_runtime if it is installed.
        progress: Called with the name of the file, the runs done, and the number of runs.

    Returns:
        `latency_ms`: `median`, `mean`, `min`, `p90`, `max` and `spread` (p90 - p10);
        `memory`: the peak of the resident bytes of the process, and how much of it came with the
        model; `size_bytes`, `operations` (totals), `operation_table`, and the conditions.

    Raises:
        ModelError: If the file is not such a model.
        DeviceError: If the runtime is not installed or cannot run the model.
    """
    path = Path(model_path)
    report = progress or no_progress
    runtime = choose_runtime(runtime)
    encoder = TFLiteEncoder(path, runtime)
    graph = read_graph(path)
    conditions = {"threads": threads, "runs": runs, "warmup": warmup}
    task = {"model": str(path), **conditions, **_runtime_options(runtime, graph)}
    measured = _run_worker(task, lambda done: report(path.name, done, runs))
    return {
        "model": path.name,
        "runtime": runtime,
        "engine": RUNTIMES[runtime],
        "kernel": measured["kernel"],
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs",
        **conditions,
        "image_size": plain_size(encoder.image_size),
        "size_bytes": encoder.size_bytes,
        "latency_ms": _statistics(1000 * np.array(measured["seconds"], np.float64)),
        "load_ms": 1000 * measured["load_seconds"],
        "memory": {
            "process_peak_bytes": measured["memory_peak_bytes"],
            "model_bytes": measured["memory_peak_bytes"] - measured["memory_before_bytes"],
        },
        "operations": file_operations(graph),
        "operation_table": operation_table(graph),
    }


def describe_benchmark(result: dict[str, Any]) -> str:
    """Describe the result of `benchmark` in a few lines and a table."""
    latency, memory = result["latency_ms"], result["memory"]
    threads = "1 thread" if result["threads"] == 1 else f"{result['threads']} threads"
    lines = [
        (
            f"{result['model']}: {result['size_bytes'] / 1024:.0f} KiB, "
            f"{describe_size(result['image_size'])} pixels"
        ),
        (
            f"latency: median {latency['median']:.2f} ms, min {latency['min']:.2f}, "
            f"p90 {latency['p90']:.2f}, spread {latency['spread']:.2f} "
            f"({result['runs']} runs, {threads}, {result['kernel']} kernel of "
            f"{result['engine']}, {result['machine']})"
        ),
        (
            f"memory: {memory['model_bytes'] / 2**20:.1f} MiB for the model, "
            f"{memory['process_peak_bytes'] / 2**20:.1f} MiB with its process"
        ),
        "",
        f"{'operation':<20}{'count':>6}{'1-bit MACs':>16}{'float MACs':>16}",
    ]
    total = {"name": "total", **result["operations"]}
    total["count"] = sum(row["count"] for row in result["operation_table"])
    lines += [
        f"{row['name']:<20}{row['count']:>6}{row['binary_macs']:>16,}{row['float_macs']:>16,}"
        for row in (*result["operation_table"], total)
    ]
    return "\n".join(lines)


def _run_worker(task: dict[str, Any], report: Callable[[int], None]) -> dict[str, Any]:
    command = [sys.executable, "-I", benchmark_worker.__file__]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as worker:
        assert worker.stdin is not None and worker.stdout is not None and worker.stderr is not None
        with contextlib.suppress(BrokenPipeError):  # if it has ended, its last words say why
            worker.stdin.write(json.dumps(task))
            worker.stdin.close()
        result: dict[str, Any] = {}
        for line in worker.stdout:
            result = json.loads(line)
            if "done" in result:
                report(result["done"])
        complaint = worker.stderr.read().strip().splitlines()
    if worker.returncode != 0 or "seconds" not in result:
        reason = complaint[-1] if complaint else f"it ended with status {worker.returncode}"
        raise DeviceError(f"{RUNTIMES[task['runtime']]} cannot run {task['model']}: {reason}.")
    return result


def _statistics(milliseconds: NDArray[np.float64]) -> dict[str, float]:
    low, median, high = np.percentile(milliseconds, [10, 50, 90])
    return {
        "median": float(median),
        "mean": float(milliseconds.mean()),
        "min": float(milliseconds.min()),
        "p90": float(high),
        "max": float(milliseconds.max()),
        "spread": float(high - low),
    }


def _runtime_options(runtime: str, graph: TFLiteGraph) -> dict[str, Any]:
    """Tell the worker where its runtime is, because it looks for nothing by itself."""
    if runtime == "lce":
        return {"runtime": runtime, "library": str(_interpreter_library()), **kernel_options(graph)}
    spec = find_spec("s2bnn_runtime")
    assert spec is not None and spec.origin is not None
    return {"runtime": runtime, "folder": str(Path(spec.origin).parent.parent)}


def _interpreter_library() -> Path:
    spec = find_spec("larq_compute_engine")  # which finds the package without importing it
    if spec is None or not spec.submodule_search_locations:
        raise DeviceError(
            "Larq Compute Engine is not installed: run `pip install larq-compute-engine`."
        )
    folder = Path(spec.submodule_search_locations[0]) / "tflite" / "python"
    return next(folder.glob("interpreter_wrapper_lite*.so"))
