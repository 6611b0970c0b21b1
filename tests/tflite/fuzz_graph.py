"""`TFLiteGraph`, as a process that runtime/tools/fuzz.py feeds with files.

With the argument `lce`, Larq Compute Engine's interpreter then runs what the reader accepts. The
answer "!" is that of an exception that the reader does not promise.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

import numpy as np

from s2bnn_tf.tflite import FlatbufferError, TFLiteGraph, kernel_options

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "runtime" / "tools"))


def read(model: bytes) -> bytes:
    """Read a file; the answer is a letter that `fuzz_child` explains."""
    try:
        TFLiteGraph(model)
    except FlatbufferError:
        return b"-"
    except Exception:  # noqa: BLE001 (which it must not raise)
        traceback.print_exc()
        return b"!"
    return b"+"


def run(model: bytes) -> bytes:
    """Read a file, and run it if it is accepted."""
    from larq_compute_engine.tflite.python.interpreter import Interpreter

    answer = read(model)
    if answer != b"+":
        return answer
    try:
        interpreter = Interpreter(model, **kernel_options(TFLiteGraph(model)))
        shapes = zip(interpreter.input_shapes, interpreter.input_types)
        interpreter.predict([np.ones(shape, dtype) for shape, dtype in shapes])
    except Exception:  # noqa: BLE001 (there are several of its own)
        return b"-"
    return b"+"


if __name__ == "__main__":
    from fuzz_child import serve

    serve(run if sys.argv[1:] == ["lce"] else read)
