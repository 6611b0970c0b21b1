"""What `s2bnn-run` loads on a device, and how much memory that takes."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODULES = "print(sorted({name.split('.')[0] for name in sys.modules}))"


def loaded(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}; {MODULES}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stdout.replace("'", '"')))


def test_it_starts_with_numpy_alone_and_pictures_need_pillow_alone():
    before = loaded("import numpy") | set(sys.stdlib_module_names)
    assert loaded("import s2bnn_runtime.cli") - before == {"s2bnn_runtime"}
    # simplejpeg, which reports damage, is used where it is installed.
    if importlib.util.find_spec("simplejpeg") is not None:
        before |= loaded("import simplejpeg")
    assert loaded("import s2bnn_runtime.pictures") - before == {"s2bnn_runtime", "PIL"}


if importlib.util.find_spec("ai_edge_litert") is not None:

    def test_it_needs_at_most_25_megabytes_beyond_what_others_need():
        """With the host of a device; TensorFlow's would hide what is ours."""
        script = ROOT / "runtime/benchmarks/footprint.py"
        model = ROOT / "tests/compat/data/0.1.0/student.tflite"
        command = [sys.executable, script, model, "--runs", "1"]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)
        for precision in ("float", "int8", "bits"):
            assert 0 < found[precision]["beyond_mb"] <= 25, precision
