"""Compare the runtime with its alternatives.

    python runtime/benchmarks/run.py --models build/models --output results.json

Every side runs each network in turn, round after round, in its own process, which sleeps between
its turns. The result is the median over all rounds. A side that is not installed is left out, with
the reason. Results are added to `--output`, so networks and thread counts can be measured one by
one. `python runtime/benchmarks/table.py results.json` prints the table.

The Python that runs this needs tensorflow 2.15, larq-compute-engine, larq-zoo, tf2onnx, and for the
other sides onnxruntime, torch and onnx2torch. `--litert-python` names one with ai-edge-litert,
which cannot be installed beside that TensorFlow.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import networks

HERE = Path(__file__).parent
SECONDS_OF_A_TURN = 0.3


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--models",
        type=Path,
        required=True,
        help="the folder of the networks' files, which are made if missing",
    )
    parser.add_argument(
        "--output", type=Path, required=True, help="the JSON file to write or extend"
    )
    parser.add_argument("--networks", nargs="+", choices=networks.BINARY, default=networks.BINARY)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--kernels",
        nargs="+",
        default=["avx512_vpopcntdq", "avx512", "avx2"],
        help="our kernels to measure",
    )
    parser.add_argument("--litert-python", help="a Python with ai-edge-litert")
    parser.add_argument(
        "--kernel-benchmark", type=Path, help="the program built with -DS2BNN_BUILD_BENCHMARKS=ON"
    )
    options = parser.parse_args()

    results = (
        json.loads(options.output.read_text()) if options.output.is_file() else {"networks": {}}
    )
    results["date"] = datetime.date.today().isoformat()
    results["machine"] = {
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "system": platform.platform(),
    }
    if options.kernel_benchmark:
        results["convolutions"] = {
            k: _convolutions(options.kernel_benchmark, k) for k in options.kernels
        }
    mobilenets = {
        name: networks.build(name, options.models)["float"] for name in networks.FLOAT_ONLY
    }
    for name in options.networks:
        paths = networks.build(name, options.models)
        for threads in options.threads:
            sides = _sides(paths, mobilenets, threads, options)
            measured = measure(sides, options.rounds)
            results["networks"].setdefault(name, {})[
                f"{threads} thread{'s' if threads > 1 else ''}"
            ] = measured
            options.output.write_text(json.dumps(results, indent=1) + "\n")
            for side, numbers in measured.items():
                time_or_reason = numbers.get("median_ms", numbers.get("missing"))
                print(f"{name}, {threads} thread(s), {side}: {time_or_reason}", flush=True)
    options.output.write_text(json.dumps(results, indent=1) + "\n")


def _sides(
    paths: dict[str, str], mobilenets: dict[str, str], threads: int, options: argparse.Namespace
) -> dict[str, dict]:
    """The task for sides.py, and the Python that runs it, by the name of the side."""

    def side(engine: str, model: str, python: str = sys.executable, **more: str) -> dict[str, Any]:
        return {
            "python": python,
            "spec": {"engine": engine, "model": model, "threads": threads, **more},
        }

    sides = {
        f"s2bnn_runtime, {k}": side("s2bnn", paths["binary"], kernels=k) for k in options.kernels
    }
    sides |= {
        f"LCE, {k}": side("lce", paths["binary"], kernels=k)
        for k in ("default", "indirect", "reference")
    }
    sides["float, TFLite with XNNPACK"] = side("tflite", paths["float"])
    sides["float, ONNX Runtime"] = side("onnxruntime", paths["onnx"])
    sides["float, PyTorch"] = side("torch", paths["onnx"])
    for name, model in mobilenets.items():
        sides[f"{name}, TFLite with XNNPACK"] = side("tflite", model)
        if options.litert_python:
            sides[f"{name}, LiteRT"] = side("tflite", model, options.litert_python)
    return sides


def measure(sides: dict[str, dict], rounds: int) -> dict[str, dict[str, Any]]:
    """The medians and quartiles of all rounds."""
    workers = {name: _start(side) for name, side in sides.items()}
    results: dict[str, dict[str, Any]] = {}
    for name, worker in list(workers.items()):
        answer = worker.stdout.readline().strip()
        if answer != "ready":
            results[name] = {"missing": answer or "the process died"}
            del workers[name]
    turns = {name: _images_of_a_turn(worker) for name, worker in workers.items()}
    milliseconds: dict[str, list[float]] = {name: [] for name in workers}
    for _ in range(rounds):
        for name, worker in workers.items():
            # The first image of a turn finds cold caches and sleeping threads.
            milliseconds[name] += _ask(worker, turns[name] + 1)[1:]
            time.sleep(0.02)
    for name, worker in workers.items():
        worker.stdin.close()
        worker.wait()
        low, median, high = statistics.quantiles(milliseconds[name], n=4)
        results[name] = {
            "median_ms": median,
            "quartiles_ms": [low, high],
            "images": len(milliseconds[name]),
        }
    return {name: results[name] for name in sides}


def _start(side: dict) -> subprocess.Popen:
    command = [side["python"], str(HERE / "sides.py"), json.dumps(side["spec"])]
    paths = [str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in paths if p)}
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )


def _ask(worker: subprocess.Popen, images: int) -> list[float]:
    worker.stdin.write(f"{images}\n")
    worker.stdin.flush()
    return json.loads(worker.stdout.readline())


def _images_of_a_turn(worker: subprocess.Popen) -> int:
    return max(1, int(1000 * SECONDS_OF_A_TURN / min(_ask(worker, 2))))


def _convolutions(program: Path, kernels: str) -> dict[str, Any]:
    return json.loads(
        subprocess.run([program, kernels], check=True, capture_output=True, text=True).stdout
    )


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next(
        (line.split(": ")[1] for line in lines if line.startswith("model name")),
        platform.processor(),
    )


if __name__ == "__main__":
    main()
