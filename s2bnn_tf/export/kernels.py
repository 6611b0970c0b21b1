"""Run a `.tflite` by each kernel that Larq Compute Engine has for binary convolutions."""

from __future__ import annotations

import numpy as np

from s2bnn_tf.export.layers import ParityError
from s2bnn_tf.export.terminal import captured_terminal

KERNELS: dict[str, dict[str, bool]] = {
    "default": {},
    "indirect": {"use_indirect_bgemm": True},
    "reference": {"use_reference_bconv": True},
}


def run_kernels(model: bytes, images: np.ndarray) -> dict[str, list[np.ndarray]]:
    """The outputs of a `.tflite` by kernel, of those kernels that can run it.

    The default kernel must. The indirect and the reference kernel lack some combinations of
    padding, groups and channels.
    """
    results = {}
    for kernel in KERNELS:
        with captured_terminal() as log:
            try:
                results[kernel] = run_file(model, images, kernel)
            except RuntimeError as error:
                if kernel == "default":
                    reason = (log.read() or str(error)).splitlines()[0].strip()
                    raise ParityError(
                        f"Larq Compute Engine converts the network but cannot run it: {reason}"
                    ) from error
    return results


def run_file(model: bytes, images: np.ndarray, kernel: str) -> list[np.ndarray]:
    """All outputs of a `.tflite`, each `(N, ...)`."""
    from larq_compute_engine.tflite.python.interpreter import Interpreter

    outputs = Interpreter(model, **KERNELS[kernel]).predict(images)
    return outputs if isinstance(outputs, list) else [outputs]
