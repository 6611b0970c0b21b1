"""Whole networks on ARM without a board: instructions by qemu, and cycles by models of four cores.

    python runtime/benchmarks/arm.py
    python runtime/benchmarks/arm.py --networks quicknet --json
    python runtime/benchmarks/arm.py --files student.tflite

An image's instructions are the difference between a run of three images and one of two, in the
ARM Python that tools/setup_aarch64.sh makes. A model of the processor, llvm-mca, says how many
cycles the machine code of a loop takes:

    cycles = sum over functions of   instructions (qemu)
                                   * cycles per instruction of its hottest loop (llvm-mca),
                                     or 1.0 if it has none

Memory is not modelled: every load finds its data in the first-level cache, and every branch is
predicted. The bytes that are loaded and stored are counted instead.

This needs Debian's qemu-user (7.2), g++-aarch64-linux-gnu, cmake, gcc and llvm-19. The networks are
made by networks.py, and need what it needs. If the ARM Python is missing, it is set up, as root.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import count_instructions
import executed
import machine_code
import networks

HERE = Path(__file__).resolve().parent
CORES = ("cortex-a53", "cortex-a72", "cortex-a76", "neoverse-n1")
NETWORKS = {
    "quicknet": "QuickNet",
    "reactnet_a": "ReActNet-A",
    "mobilenet_v2": "MobileNetV2",
    "mobilenet_v2_int8": "MobileNetV2-int8",
}
BINARY_LAYER = b"LceBconv2d"  # in the files of Larq Compute Engine
TOOLS = ("qemu-aarch64", "gcc", "cmake", "llvm-mca-19", "llvm-objdump-19", "llvm-nm-19")
# A function with a smaller share of the instructions counts with 1.0 cycle for each.
WORTH_MODELLING = 0.001
# What a function is part of, by a piece of its name; the first one that fits.
OPERATIONS = (
    ("binary convolutions: counting", ("accumulate", "ByteRows")),
    ("binary convolutions: preparing rows", ("TiledBconv::", "prepare_words")),
    ("scaling, adding, activations, signs", ("TileProgram<",)),
    ("pooling", ("PoolInput",)),
    ("first convolutions, in float", ("FloatConv::", "FloatConvTile")),
    ("the runtime's other work", ("s2bnn::",)),
    ("the host: XNNPACK and its threads", ("xnn_", "pthreadpool", "xnnpack")),
)
HOST = "everything else: the host, Python, the C library"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument(
        "--files",
        nargs="+",
        type=Path,
        help="in place of networks; a file without binary layers runs in the host alone",
    )
    parser.add_argument(
        "--build", type=Path, default=Path("build/arm"), help="the folder to compile in"
    )
    parser.add_argument("--models", type=Path, default=Path("build/models"))
    parser.add_argument(
        "--python", type=Path, help="the script `python` of tools/setup_aarch64.sh, made if absent"
    )
    parser.add_argument("--compiler", default="aarch64-linux-gnu-g++")
    parser.add_argument("--output", type=Path, help="a JSON file with everything, to write")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args()

    missing = [tool for tool in (*TOOLS, options.compiler) if not shutil.which(tool)]
    if missing:
        sys.exit(
            f"missing: {', '.join(missing)}; on Debian: apt-get install qemu-user gcc cmake "
            "llvm-19 g++-aarch64-linux-gnu"
        )
    if options.files:
        results = {str(path): count(path, options) for path in options.files}
    else:
        results = {name: count(model_of(name, options), options) for name in options.networks}
    if options.output:
        options.output.write_text(json.dumps(results, indent=1) + "\n")
    for line in table(results):
        print(line, file=sys.stderr if options.json else sys.stdout)
    if options.json:
        print(json.dumps(summary(results)))


def summary(results: dict[str, Any]) -> dict[str, Any]:
    """The totals: {"networks": {name: {"instructions": n, "cycles": {core: n}}}}."""
    keys = ("instructions", "cycles")
    return {"networks": {name: {k: result[k] for k in keys} for name, result in results.items()}}


def model_of(name: str, options: argparse.Namespace) -> Path:
    """The file of a network, made if it is missing."""
    kind = "binary" if NETWORKS[name] in networks.BINARY else "float"
    return Path(networks.build(NETWORKS[name], options.models, kinds=(kind,))[kind])


def count(model: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Count and model one image of a file."""
    count_instructions.compile_runtime(options.build, options.compiler)
    plugin = count_instructions.compile_plugin("qemu_blocks.c", options.build)
    python = options.python or _set_up_python(options.build)
    ours = BINARY_LAYER in model.read_bytes()
    two, three = (
        _run(python, model, options.build, plugin, images, ours=ours) for images in (2, 3)
    )
    return model_functions(executed.functions(executed.subtract(three, two)))


def _set_up_python(build: Path) -> Path:
    folder = build / "python"
    if not (folder / count_instructions.NETWORK_HOST / "complete").is_file():
        setup = HERE.parent / "tools" / "setup_aarch64.sh"
        subprocess.run(
            ["sh", setup, folder, count_instructions.NETWORK_HOST],
            check=True,
            stdout=sys.stderr,
            env=os.environ | {"PYTHON": sys.executable},
        )
    return folder / "python"


def _run(
    python: Path, model: Path, build: Path, plugin: Path, images: int, *, ours: bool
) -> executed.Runs:
    with tempfile.NamedTemporaryFile("r") as counts:
        count_instructions.run_network(
            python,
            model,
            images,
            {
                "QEMU_PLUGIN": str(plugin),
                "COUNT_OUTPUT": counts.name,
                "S2BNN_LIBRARY": str((build / "libs2bnn_delegate.so").resolve()),
            },
            ours=ours,
        )
        return executed.parse_counts(counts.read())


def model_functions(functions: list[executed.Function]) -> dict[str, Any]:
    """Add up the functions of a network, and group them by operation."""
    total = sum(f.instructions for f in functions)
    operations: dict[str, Any] = {}
    moved = 0
    for function in functions:
        factors = dict.fromkeys(CORES, 1.0)
        if function.instructions > WORTH_MODELLING * total and function.stop > 0:
            code = machine_code.disassemble(Path(function.file), function.start, function.stop)
            moved += sum(
                machine_code.bytes_moved(i.text) * function.runs.get(i.address, 0) for i in code
            )
            loop = machine_code.hottest_loop(code, function.runs)
            if loop:
                factors = {c: machine_code.cycles_per_instruction(loop, c) for c in CORES}
        operation = operations.setdefault(
            operation_of(function.name), {"instructions": 0, "cycles": Counter()}
        )
        operation["instructions"] += function.instructions
        for core, factor in factors.items():
            operation["cycles"][core] += function.instructions * factor
    for operation in operations.values():
        operation["cycles"] = {core: round(n) for core, n in operation["cycles"].items()}
    return {
        "instructions": total,
        "cycles": {core: sum(o["cycles"][core] for o in operations.values()) for core in CORES},
        "bytes_moved": moved,
        "operations": operations,
    }


def operation_of(name: str) -> str:
    """The operation that a function belongs to."""
    return next(
        (operation for operation, parts in OPERATIONS if any(part in name for part in parts)), HOST
    )


def columns(results: dict[str, Any]) -> list[tuple[str, str]]:
    """The cores as (title, core): two that share a model, and so all numbers, are one column."""
    by_numbers: dict[tuple[int, ...], list[str]] = {}
    for core in CORES:
        rows = [o["cycles"][core] for r in results.values() for o in r["operations"].values()]
        by_numbers.setdefault(tuple(rows), []).append(core)
    return [(" and ".join(cores), cores[0]) for cores in by_numbers.values()]


def table(results: dict[str, Any]) -> list[str]:
    """The results as lines of Markdown, in millions for one image."""
    cores = columns(results)
    titles = ["millions for one image", "instructions", *(f"cycles, {t}" for t, _ in cores)]
    lines = ["| " + " | ".join(titles) + " |", "|---|" + "--:|" * (len(titles) - 1)]
    for name, result in results.items():
        lines.append(_row(f"**{NETWORKS.get(name, name)}**", result, cores))
        by_size = sorted(result["operations"].items(), key=lambda o: -o[1]["instructions"])
        lines += [_row(operation, numbers, cores) for operation, numbers in by_size]
    lines.append("")
    for name, result in results.items():
        lines.append(
            f"{NETWORKS.get(name, name)}: {result['bytes_moved'] / 1e6:.0f} MB loaded and stored"
        )
    return lines


def _row(title: str, numbers: dict[str, Any], cores: list[tuple[str, str]]) -> str:
    cells = [numbers["instructions"], *(numbers["cycles"][core] for _, core in cores)]
    return f"| {title} | " + " | ".join(f"{cell / 1e6:.1f}" for cell in cells) + " |"


if __name__ == "__main__":
    main()
