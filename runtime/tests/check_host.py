"""Check one TFLite host, on this processor, against Larq Compute Engine's results in golden.npz.

    python tests/check_host.py [HOST] [--short]     (needs NumPy, the host, and this package)

Every case runs on every kernel that this processor has, fused and not, on one thread and on two,
and must be equal to the bit.
"""

from __future__ import annotations

import argparse
import platform
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

import s2bnn_runtime
from s2bnn_runtime import Interpreter

GOLDEN = Path(__file__).parent / "golden.npz"


def load_cases() -> dict[str, tuple[bytes, np.ndarray, list[np.ndarray]]]:
    """The model, input and outputs of each case, by name."""
    with np.load(GOLDEN, allow_pickle=False) as file:
        arrays = dict(file)
    names = sorted({key.split("/")[0] for key in arrays})
    outputs = {
        name: [arrays[key] for key in sorted(arrays) if key.startswith(f"{name}/output")]
        for name in names
    }
    return {
        name: (arrays[f"{name}/model"].tobytes(), arrays[f"{name}/input"], outputs[name])
        for name in names
    }


def check_equal(name: str, got, wanted: list[np.ndarray]) -> None:
    got = got if isinstance(got, list) else [got]
    assert len(got) == len(wanted), name
    for g, w in zip(got, wanted):
        np.testing.assert_array_equal(g, w, name)


def check_results(cases, host, short: bool) -> int:
    runs = 0
    variants = [{"kernels": k} for k in (None, "portable", "reference")] + [
        {"fuse": False},
        {"num_threads": 2},
    ]
    for name, (model, x, wanted) in cases.items():
        for options in variants[:1] if short else variants:
            if name.startswith("graph") and (
                "fuse" in options or options.get("kernels") == "reference"
            ):
                continue  # the host's own float operations may round differently
            check_equal(
                f"{name} {options}", Interpreter(model, host=host, **options).predict(x), wanted
            )
            runs += 1
    return runs


def check_batches(cases, host) -> None:
    """Use another batch size in every call of one interpreter."""
    model, images, (wanted,) = cases["network"]
    interpreter = Interpreter(model, host=host)
    for batch in (1, 3, 2, 1):
        np.testing.assert_array_equal(interpreter.predict(images[:batch]), wanted[:batch])


def check_threads(cases, host) -> None:
    """Run several interpreters at the same time."""
    model, images, (wanted,) = cases["network"]
    interpreters = [Interpreter(model, 1 + i % 2, host=host) for i in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for result in pool.map(
            lambda interpreter: [interpreter.predict(images) for _ in range(3)], interpreters
        ):
            for got in result:
                np.testing.assert_array_equal(got, wanted)


def check_refusal(cases, host) -> None:
    """A damaged model is refused, and the process continues."""
    model = cases["bconv00"][0]
    damaged = model.replace(b"stride_width", b"stride_wrong")
    assert damaged != model
    try:
        Interpreter(damaged, host=host)
    except s2bnn_runtime.S2bnnError:
        return
    raise AssertionError("a convolution without stride_width was accepted")


def installed_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # tensorflow-cpu is TensorFlow too
        return version(f"{name}-cpu")


def check_kernels() -> None:
    """The library finds out what the processor can do, no matter which compiler built it."""
    flags = Path("/proc/cpuinfo").read_text().split()
    if platform.machine() == "aarch64" or "avx2" in flags:
        assert s2bnn_runtime.kernels() != "portable", s2bnn_runtime.kernels()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "host", nargs="?", choices=["ai-edge-litert", "tflite-runtime", "tensorflow"]
    )
    parser.add_argument("--short", action="store_true", help="every case once, on the best kernels")
    options = parser.parse_args()
    host = s2bnn_runtime.find_host(options.host)
    check_kernels()
    cases = load_cases()
    runs = check_results(cases, host, options.short)
    check_batches(cases, host)
    check_threads(cases, host)
    check_refusal(cases, host)
    where = f"{host.name} {installed_version(host.name)} on {platform.machine()}"
    print(
        f"ok: {where}, {s2bnn_runtime.kernels()} kernels: {len(cases)} cases, {runs} results equal "
        "to Larq Compute Engine's"
    )


if __name__ == "__main__":
    main()
