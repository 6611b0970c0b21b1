"""What runs a `.tflite`: Larq Compute Engine, or `s2bnn_runtime` where it is installed."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from s2bnn_tf.errors import UserError
from s2bnn_tf.tflite.graph import TFLiteGraph, filter_exceeds_input

RUNTIMES = {"lce": "Larq Compute Engine", "s2bnn": "s2bnn_runtime"}


def choose_runtime(name: str | None = None) -> str:
    """Return a key of `RUNTIMES`: the one asked for, or the faster of those installed.

    Raises:
        UserError: if `s2bnn` is asked for and not installed.
    """
    installed = find_spec("s2bnn_runtime") is not None  # without importing it
    if name == "s2bnn" and not installed:
        raise UserError(
            "s2bnn_runtime is not installed: install its wheel (`make -C runtime wheels` builds "
            "it), or use --runtime lce."
        )
    return name or ("s2bnn" if installed else "lce")


def open_interpreter(
    path: Path, graph: TFLiteGraph, runtime: str
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from a batch `(B, S, S, 3)` to the model's output `(B, C)`.

    Raises:
        UserError: if the runtime cannot run the model.
    """
    opener = _open_s2bnn if runtime == "s2bnn" else _open_lce
    try:
        return opener(graph)
    except (RuntimeError, ValueError, OSError, ImportError) as error:
        raise UserError(
            f"{RUNTIMES[runtime]} cannot run {path} ({error}); convert it again with "
            "`s2bnn convert`."
        ) from error


def kernel_options(graph: TFLiteGraph) -> dict[str, bool]:
    """The options of Larq Compute Engine's fastest kernel that is right for a model.

    The indirect kernel is four times faster on x86 than the default one, with the same bits.
    """
    if any(filter_exceeds_input(graph, item) for item in graph.binary_convolutions()):
        return {"use_reference_bconv": True, "use_indirect_bgemm": False}
    return {"use_reference_bconv": False, "use_indirect_bgemm": True}


def _open_lce(graph: TFLiteGraph) -> Callable[[np.ndarray], np.ndarray]:
    # Imported here: it loads the whole converter, which a run directory does not need.
    from larq_compute_engine.tflite.python.interpreter import Interpreter

    # It takes one image after the other, and on the machines where it runs several threads or
    # interpreters gain nothing.
    return Interpreter(graph.data, **kernel_options(graph)).predict


def _open_s2bnn(graph: TFLiteGraph) -> Callable[[np.ndarray], np.ndarray]:
    from s2bnn_runtime import Interpreter, find_host

    return Interpreter(graph.data, host=find_host("tensorflow")).predict
