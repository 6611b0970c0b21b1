"""A Larq Compute Engine model, ready to predict."""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from s2bnn_runtime.delegate import load_delegate
from s2bnn_runtime.hosts import Host, find_host


class Interpreter:
    """Runs a `.tflite` with Larq Compute Engine's operations in the installed TFLite interpreter.

    Args:
        model: path of a `.tflite`, or its content.
        num_threads: threads of one prediction, at least 1.
        host: the TFLite interpreter to use; None takes the first that is installed.
        kernels, fuse, profile: see `load_delegate`.

    Raises:
        FileNotFoundError: if there is no such file.
        HostNotFoundError: if no TFLite interpreter is installed.
        RuntimeError, ValueError: if the model cannot be run; the message says why.

    An interpreter belongs to one thread at a time; several interpreters can run in several threads.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes,
        num_threads: int = 1,
        *,
        host: Host | None = None,
        kernels: str | None = None,
        fuse: bool | None = None,
        profile: str | None = None,
    ) -> None:
        if num_threads < 1:
            raise ValueError(f"num_threads must be at least 1, not {num_threads}")
        content = model if isinstance(model, bytes) else Path(model).read_bytes()
        self.host = host or find_host()
        delegate = load_delegate(host=self.host, kernels=kernels, fuse=fuse, profile=profile)
        self._native = {
            "interpreter": self.host.interpreter(
                model_content=content, num_threads=num_threads, experimental_delegates=[delegate]
            ),
            "delegate": delegate,
        }
        # The interpreter must go before its delegate, and both before Python takes the host's modules apart at exit.
        weakref.finalize(self, _release, self._native)
        self._interpreter.allocate_tensors()

    @property
    def _interpreter(self) -> Any:
        return self._native["interpreter"]

    @property
    def input_details(self) -> list[dict[str, Any]]:
        """The host's description of the inputs: "name", "shape", "dtype", "quantization" ..."""
        return self._interpreter.get_input_details()

    @property
    def output_details(self) -> list[dict[str, Any]]:
        """The host's description of the outputs."""
        return self._interpreter.get_output_details()

    def predict(self, *inputs: np.ndarray) -> np.ndarray | list[np.ndarray]:
        """Runs the network once.

        Args:
            inputs: one array for each input of the model, with its shape; the batch may differ from the model's, and may be
                left out where it is 1. The data type must be the model's; floats of other widths are converted.

        Returns:
            The output as an array, or a list of arrays if the model has several.

        Raises:
            ValueError: if the arrays do not fit the inputs.
        """
        details = self.input_details
        if len(inputs) != len(details):
            raise ValueError(f"the model has {len(details)} inputs, not {len(inputs)}")
        arrays = [_as_input(array, detail) for array, detail in zip(inputs, details)]
        self._resize(arrays, details)
        for array, detail in zip(arrays, details):
            self._interpreter.set_tensor(detail["index"], array)
        self._interpreter.invoke()
        outputs = [self._interpreter.get_tensor(detail["index"]) for detail in self.output_details]
        return outputs[0] if len(outputs) == 1 else outputs

    def _resize(self, arrays: list[np.ndarray], details: list[dict[str, Any]]) -> None:
        changed = [d for a, d in zip(arrays, details) if a.shape != tuple(d["shape"])]
        if not changed:
            return
        for array, detail in zip(arrays, details):
            self._interpreter.resize_tensor_input(detail["index"], array.shape)
        self._interpreter.allocate_tensors()


def _release(native: dict[str, Any]) -> None:
    native.pop("interpreter")
    native.pop("delegate")


def _as_input(array: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    array = np.asarray(array)
    shape, dtype = tuple(detail["shape"]), np.dtype(detail["dtype"])
    if array.ndim == len(shape) - 1 and shape[0] == 1:
        array = array[np.newaxis]
    if array.ndim != len(shape) or array.shape[1:] != shape[1:] or array.shape[0] < 1:
        raise ValueError(f"input {detail['name']!r} has shape {shape}, not {array.shape}")
    if array.dtype != dtype:
        if not (np.issubdtype(array.dtype, np.floating) and np.issubdtype(dtype, np.floating)):
            raise ValueError(f"input {detail['name']!r} has data type {dtype}, not {array.dtype}")
        array = array.astype(dtype)
    return np.ascontiguousarray(array)
