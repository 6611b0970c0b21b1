"""`TFLiteGraph`, as a process that runtime/tools/fuzz.py feeds with files.

The answer "!" is that of an exception that the reader does not promise.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

from s2bnn_tf.tflite import FlatbufferError, TFLiteGraph

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "runtime" / "tools"))


def fuzz(model: bytes) -> bytes:
    """Read a file; the answer is a letter that `fuzz_child` explains."""
    try:
        TFLiteGraph(model)
    except FlatbufferError:
        return b"-"
    except Exception:  # noqa: BLE001 (which it must not raise)
        traceback.print_exc()
        return b"!"
    return b"+"


if __name__ == "__main__":
    from fuzz_child import serve

    serve(fuzz)
