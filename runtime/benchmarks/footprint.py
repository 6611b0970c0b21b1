"""How fast `s2bnn-run` starts, and how much memory it needs beyond Python, NumPy, Pillow and host.

    python runtime/benchmarks/footprint.py MODEL.tflite

The start is that of a search among one picture's neighbors in an index of 10,000, with the model
loaded and the query read: the whole process, and what importing takes. The memory is the peak of
that process, less that of one which only imports NumPy, Pillow and the interpreter that the first
one uses. Both are medians of `--runs` processes. The vectors of the index are made.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from s2bnn_runtime.embedder import Embedder
from s2bnn_runtime.hosts import MODULES
from s2bnn_runtime.index import PRECISIONS, PictureIndex

ROWS = 10_000
# Not getrusage, whose peak is at least that of the process that started this one
PEAK = "print(*[line.split()[1] for line in open('/proc/self/status') if 'VmHWM' in line])"
TOP = 12  # modules of our own import that are named, the slowest first


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--runs", type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        index, query = make_index(options.model, Path(folder))
        result: dict[str, Any] = {"rows": ROWS, "host": _host()}
        for precision in PRECISIONS:
            search = ["search", str(options.model), query, index, "--precision", precision]
            result[precision] = measure(search, options.runs)
        result["imports_ms"] = import_times()
    print(json.dumps(result, indent=1))


def make_index(model: Path, folder: Path) -> tuple[str, str]:
    """An index of made vectors, and a picture to look for."""
    embedder, rng = Embedder(model), np.random.default_rng(0)
    query = folder / "query.png"
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(query)
    vectors = rng.normal(size=(ROWS, embedder([query]).shape[1])).astype(np.float32)
    index = PictureIndex(embedder.space)
    names = [f"/photos/{number:05d}.jpg" for number in range(ROWS)]
    index.replace(set(), names, [(0, 0)] * ROWS, vectors)
    index.save(folder / "index.npz")
    return str(folder / "index.npz"), str(query)


def measure(search: list[str], runs: int) -> dict[str, float]:
    """Seconds of the processor and of the clock, and megabytes beyond what others need."""
    ours = f"import sys; from s2bnn_runtime.cli import main; main({search!r}); {PEAK}"
    others = f"import numpy, PIL.Image, {MODULES[_host()]}; {PEAK}"
    pairs = [(_run(ours), _run(others)) for _ in range(runs)]
    return {
        "clock_s": statistics.median(own["clock_s"] for own, _ in pairs),
        "processor_s": statistics.median(own["processor_s"] for own, _ in pairs),
        "beyond_mb": statistics.median((own["peak"] - base["peak"]) / 1000 for own, base in pairs),
        "others_mb": statistics.median(base["peak"] / 1000 for _, base in pairs),
    }


def _run(code: str) -> dict[str, float]:
    before, start = os.times(), os.times().elapsed
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True
    )
    after = os.times()
    spent = after.children_user + after.children_system
    return {
        "peak": float(done.stdout.split()[-1]),
        "clock_s": after.elapsed - start,
        "processor_s": spent - before.children_user - before.children_system,
    }


def import_times() -> dict[str, float]:
    """Milliseconds of the slowest imports, with all that they import."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import s2bnn_runtime.cli"],
        stderr=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = re.findall(r"\|\s+(\d+) \|\s+(\S+)\n", done.stderr)
    slowest = sorted(((int(spent) / 1000, name) for spent, name in found), reverse=True)
    return {name: spent for spent, name in slowest[:TOP]}


def _host() -> str:
    from s2bnn_runtime.hosts import find_host

    return find_host().name


if __name__ == "__main__":
    main()
