"""Count the instructions that the NEON kernels execute on aarch64, without a board, with qemu.

    python runtime/benchmarks/count_instructions.py --build build/aarch64 --output instructions.json
    python runtime/benchmarks/count_instructions.py ... --python DIR/python --models build/models

Counts are not cycles: they measure how much work a kernel does, not how fast a processor does it.
On a board, use `s2bnn-run MODEL --benchmark --profile`.

This needs Debian's qemu-user (7.2), g++-aarch64-linux-gnu, cmake and gcc. With `--python`, the ARM
Python that tools/setup_aarch64.sh makes, it counts whole networks too: the difference between a run
of three images and one of two.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
NETWORK_HOST = "litert-2.3"  # its name in tools/setup_aarch64.sh
QEMU = ["qemu-aarch64", "-cpu", "cortex-a72"]
# For comparison, in binary multiply-adds per instruction.
LCE_ASSEMBLY = 4096 / 111
THREE_INSTRUCTIONS = 128 / 3


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--build", type=Path, required=True, help="the folder to compile in")
    parser.add_argument("--output", type=Path, required=True, help="the JSON file to write")
    parser.add_argument("--compiler", default="aarch64-linux-gnu-g++")
    parser.add_argument(
        "--python", type=Path, help="the script `python` that tools/setup_aarch64.sh made"
    )
    parser.add_argument(
        "--models", type=Path, help="a folder of binary .tflite files that run.py made"
    )
    options = parser.parse_args()

    compile_runtime(options.build, options.compiler)
    plugin = compile_plugin("qemu_count.c", options.build)
    results: dict[str, Any] = {"layers": _count_layers(options.build, plugin)}
    if options.python and options.models:
        library = options.build / "libs2bnn_delegate.so"
        models = sorted(options.models.glob("*-binary.tflite"))
        results["networks"] = {
            m.stem[: -len("-binary")]: _count_network(options.python, m, library, plugin)
            for m in models
        }
    options.output.write_text(json.dumps(results, indent=1) + "\n")
    _print(results)


def compile_runtime(build: Path, compiler: str) -> None:
    """Compile the runtime and its benchmarks for aarch64."""
    settings = [
        "-DCMAKE_SYSTEM_NAME=Linux",
        "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
        f"-DCMAKE_CXX_COMPILER={compiler}",
    ]
    configure = [
        "cmake",
        "-S",
        HERE.parent,
        "-B",
        build,
        "-DCMAKE_BUILD_TYPE=Release",
        "-DS2BNN_BUILD_BENCHMARKS=ON",
        *settings,
    ]
    subprocess.run(configure, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", build, "-j2"], check=True, stdout=subprocess.DEVNULL)


def compile_plugin(source: str, build: Path) -> Path:
    """Compile one of the plug-ins for qemu in this folder."""
    plugin = (build / source).resolve().with_suffix(".so")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O2", HERE / source, "-o", plugin], check=True)
    return plugin


def _count(command: list[Any], environment: dict[str, str]) -> tuple[list[int], str]:
    """Run an ARM program under qemu. Returns its total and its regions' instructions, and its
    output.
    """
    with tempfile.NamedTemporaryFile() as counts:
        done = subprocess.run(
            command,
            check=True,
            capture_output=True,
            text=True,
            env=os.environ | environment | {"COUNT_OUTPUT": counts.name},
        )
        return [int(line) for line in counts.read().split()], done.stdout


def _count_layers(build: Path, plugin: Path) -> list[dict[str, Any]]:
    counts, printed = _count([*QEMU, "-plugin", plugin, build / "benchmarks" / "instructions"], {})
    regions = iter(counts[1:])
    layers = []
    for line in printed.splitlines():
        layer = json.loads(line)
        layer["instructions"] = next(regions)
        layer["straight_instructions"] = next(regions) if layer.pop("straight") else None
        layers.append(layer)
    return layers


def _count_network(python: Path, model: Path, library: Path, plugin: Path) -> dict[str, int]:
    """The instructions of one image, including those of the host's own operations and of Python."""
    environment = {"QEMU_PLUGIN": str(plugin), "S2BNN_LIBRARY": str(library.resolve())}
    counts = []
    for images in (2, 3):
        with tempfile.NamedTemporaryFile() as output:
            run_network(python, model, images, environment | {"COUNT_OUTPUT": output.name})
            counts.append(int(output.read().split()[0]))
    return {"instructions": counts[1] - counts[0]}


def run_network(
    python: Path, model: Path, images: int, environment: dict[str, str], *, ours: bool = True
) -> None:
    """Run a number of images in the ARM Python under qemu: with our runtime, or in the host
    alone.
    """
    load = "from s2bnn_runtime import Interpreter; i = Interpreter(sys.argv[1]);"
    run = "i.predict(np.zeros(i.input_details[0]['shape'], np.float32))"
    if not ours:
        load = (
            "from ai_edge_litert.interpreter import Interpreter;"
            "i = Interpreter(sys.argv[1]); i.allocate_tensors(); d = i.get_input_details()[0];"
            "i.set_tensor(d['index'], np.zeros(d['shape'], d['dtype']));"
        )
        run = "i.invoke()"
    program = f"import sys, numpy as np; {load} [{run} for _ in range(int(sys.argv[2]))]"
    command = [*_dynamic_qemu(python), "-c", program, model, str(images)]
    # Threads that wait and the order of sets would change the count from run to run.
    steady = {"OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "PYTHONPATH": str(HERE.parent)}
    environment = os.environ | steady | environment
    subprocess.run(command, check=True, capture_output=True, env=environment)


def _dynamic_qemu(python: Path) -> list[str]:
    """The command of the script, with the dynamic qemu: the static one loads no plug-ins."""
    script = python.read_text().replace("qemu-aarch64-static", "qemu-aarch64")
    return ["sh", "-c", script, str(python), NETWORK_HOST]


def _print(results: dict[str, Any]) -> None:
    print("binary multiply-adds per instruction")
    print(f"  three instructions per 128: {THREE_INSTRUCTIONS:.1f}")
    print(f"  the inner loop of LCE's assembly: {LCE_ASSEMBLY:.1f}")
    for layer in results["layers"]:
        straight = layer["straight_instructions"]
        size, (height, width, channels) = layer["filter"], layer["input"]
        name = f"{size}x{size} {height}x{width}x{channels} to {layer['channels_out']}"
        name += f", stride {layer['stride']}"
        ours = layer["macs"] / layer["instructions"]
        compared = f"{layer['macs'] / straight:5.1f}" if straight else "    -"
        print(f"  {name:40} ours {ours:5.1f}   in obvious intrinsics {compared}")
    macs = sum(layer["count"] * layer["macs"] for layer in results["layers"])
    instructions = sum(layer["count"] * layer["instructions"] for layer in results["layers"])
    print(f"  all, weighted by work: {macs / instructions:.1f}")
    for name, counts in results.get("networks", {}).items():
        print(f"{name}: {counts['instructions'] / 1e6:.0f} million instructions per image")


if __name__ == "__main__":
    main()
