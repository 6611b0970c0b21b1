"""Measure a `.tflite` on this machine: latency, memory, size, operations."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from s2bnn_tf.errors import UserError
from s2bnn_tf.export import benchmark_worker
from s2bnn_tf.export.operations import file_operations, operation_table
from s2bnn_tf.tflite import RUNTIMES, TFLiteEncoder, TFLiteGraph, kernel_options, read_graph

Progress = Callable[[str, int, int], None]


def benchmark(
    model_path: str | Path,
    *,
    threads: int = 1,
    runs: int = 50,
    warmup: int = 5,
    runtime: str | None = None,
    progress: Progress | None = None,
) -> dict:
    """Measure a model in a process of its own.

    Args:
        model_path: A `.tflite` made by `s2bnn convert`.
        threads: Threads of the interpreter.
        runs: Images timed, one at a time.
        warmup: Images before them that are not timed.
        runtime: What runs it, as for `choose_runtime`.
        progress: Called with a title, the runs done and all runs.

    Returns:
        `latency_ms`: `median`, `mean`, `min`, `p90`, `max` and `spread` (p90 - p10);
        `memory`: peak resident bytes of the process and how much of it came with the model;
        `size_bytes`, `operations` (totals), `operation_table`, and the conditions.

    Raises:
        UserError: if the file is no such model or the interpreter cannot run it.
    """
    path = Path(model_path)
    encoder = TFLiteEncoder(path, runtime)
    graph = read_graph(path)
    conditions = {"threads": threads, "runs": runs, "warmup": warmup}
    task = {"model": str(path), **conditions, **_engine(encoder.runtime, graph)}
    measured = _run_worker(task, lambda done: progress and progress(path.name, done, runs))
    return {
        "model": path.name,
        "runtime": encoder.runtime,
        "engine": RUNTIMES[encoder.runtime],
        "kernel": measured["kernel"],
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs",
        **conditions,
        "image_size": encoder.image_size,
        "size_bytes": encoder.size_bytes,
        "latency_ms": _statistics(1000 * np.array(measured["seconds"])),
        "load_ms": 1000 * measured["load_seconds"],
        "memory": {
            "process_peak_bytes": measured["memory_peak_bytes"],
            "model_bytes": measured["memory_peak_bytes"] - measured["memory_before_bytes"],
        },
        "operations": file_operations(graph),
        "operation_table": operation_table(graph),
    }


def describe_benchmark(result: dict) -> str:
    """The result of `benchmark` as text of a few lines and a table."""
    latency, memory = result["latency_ms"], result["memory"]
    lines = [
        (
            f"{result['model']}: {result['size_bytes'] / 1024:.0f} KiB, "
            f"{result['image_size']}x{result['image_size']} pixels"
        ),
        (
            f"latency: median {latency['median']:.2f} ms, min {latency['min']:.2f}, "
            f"p90 {latency['p90']:.2f}, spread {latency['spread']:.2f} "
            f"({result['runs']} runs, {result['threads']} thread(s), {result['kernel']} kernel of "
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


def _run_worker(task: dict, tell: Callable[[int], object]) -> dict:
    command = [sys.executable, "-I", benchmark_worker.__file__]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as worker:
        assert worker.stdin is not None and worker.stdout is not None and worker.stderr is not None
        worker.stdin.write(json.dumps(task))
        worker.stdin.close()
        result: dict = {}
        for line in worker.stdout:
            result = json.loads(line)
            if "done" in result:
                tell(result["done"])
        complaint = worker.stderr.read().strip().splitlines()
    if worker.returncode != 0 or "seconds" not in result:
        reason = complaint[-1] if complaint else f"it ended with status {worker.returncode}"
        raise UserError(f"{RUNTIMES[task['runtime']]} cannot run {task['model']}: {reason}.")
    return result


def _statistics(milliseconds: np.ndarray) -> dict[str, float]:
    low, median, high = np.percentile(milliseconds, [10, 50, 90])
    return {
        "median": float(median),
        "mean": float(milliseconds.mean()),
        "min": float(milliseconds.min()),
        "p90": float(high),
        "max": float(milliseconds.max()),
        "spread": float(high - low),
    }


def _engine(runtime: str, graph: TFLiteGraph) -> dict:
    """What the worker needs to know, which finds nothing by itself."""
    if runtime == "lce":
        return {"runtime": runtime, "library": str(_interpreter_library()), **kernel_options(graph)}
    spec = find_spec("s2bnn_runtime")
    assert spec is not None and spec.origin is not None
    return {"runtime": runtime, "folder": str(Path(spec.origin).parent.parent)}


def _interpreter_library() -> Path:
    spec = find_spec("larq_compute_engine")  # of the package, without importing it
    if spec is None or not spec.submodule_search_locations:
        raise UserError("Larq Compute Engine is not installed: `pip install larq-compute-engine`.")
    folder = Path(spec.submodule_search_locations[0]) / "tflite" / "python"
    return next(folder.glob("interpreter_wrapper_lite*.so"))
