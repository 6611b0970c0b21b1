"""The runtimes of a `.tflite`: Larq Compute Engine, and `s2bnn_runtime` if it is installed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.errors import DeviceError, ModelError
from s2bnn_tf.tflite.graph import TFLiteGraph, filter_exceeds_input

Predict = Callable[[NDArray[np.float32]], list[NDArray[np.float32]]]

RUNTIMES = {"lce": "Larq Compute Engine", "s2bnn": "s2bnn_runtime"}


def choose_runtime(name: str | None = None) -> str:
    """Choose the runtime of a `.tflite`.

    Args:
        name: A key of `RUNTIMES`; defaults to the faster one of those that are installed.

    Returns:
        A key of `RUNTIMES`.

    Raises:
        DeviceError: If `"s2bnn"` is asked for and not installed.
    """
    installed = find_spec("s2bnn_runtime") is not None  # without importing it
    if name == "s2bnn" and not installed:
        raise DeviceError(
            "s2bnn_runtime is not installed: run `make runtime`, or use --runtime lce."
        )
    return name or ("s2bnn" if installed else "lce")


def open_interpreter(path: Path, graph: TFLiteGraph, runtime: str) -> Predict:
    """Prepare a model for inference.

    Args:
        path: The file of the model, for messages.
        graph: The model.
        runtime: A key of `RUNTIMES`.

    Returns:
        A function from a batch `(B, H, W, C)` to the list of the model's outputs, each `(B, ...)`.
        Several threads may call it; they take turns.

    Raises:
        DeviceError: If the runtime or its library cannot be loaded.
        ModelError: If the runtime cannot run the model.
    """
    opener = _open_s2bnn if runtime == "s2bnn" else _open_lce
    try:
        return opener(graph)
    except (ImportError, OSError) as error:
        raise DeviceError(
            f"{RUNTIMES[runtime]} cannot be loaded ({error}); install it again."
        ) from error
    except (RuntimeError, ValueError) as error:
        raise ModelError(
            f"{RUNTIMES[runtime]} cannot run {path} ({error}); convert it again with "
            "`s2bnn convert`."
        ) from error


def kernel_options(graph: TFLiteGraph) -> dict[str, bool]:
    """The options that select the fastest kernel of Larq Compute Engine that is right for a model.

    On x86, the indirect kernel is four times faster than the default one, and both compute
    binary convolutions with equal bits.
    """
    if any(filter_exceeds_input(graph, item) for item in graph.binary_convolutions()):
        return {"use_reference_bconv": True, "use_indirect_bgemm": False}
    return {"use_reference_bconv": False, "use_indirect_bgemm": True}


def _open_lce(graph: TFLiteGraph) -> Predict:
    # Imported here, since it loads the whole converter, which a run directory does not need.
    from larq_compute_engine.tflite.python.interpreter import Interpreter

    # It takes one image after another. On the machines where it runs, neither several threads
    # nor several interpreters are faster.
    interpreter = Interpreter(graph.data, **kernel_options(graph))
    lock = threading.Lock()  # between an image and its output, the interpreter holds both

    def predict(images: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        with lock:
            outputs = interpreter.predict(images)
        return outputs if isinstance(outputs, list) else [outputs]

    return predict


def _open_s2bnn(graph: TFLiteGraph) -> Predict:
    from s2bnn_runtime import Interpreter, S2bnnError, find_host

    try:
        host = find_host("tensorflow")
    except S2bnnError:  # later versions leave it to ai-edge-litert
        host = find_host()
    interpreter = Interpreter(graph.data, host=host)

    def predict(images: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        outputs = interpreter.predict(images)
        return outputs if isinstance(outputs, list) else [outputs]

    return predict
