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
        model: str | os.PathLike[str] | bytes | bytearray | memoryview,
        num_threads: int = 1,
        *,
        host: Host | None = None,
        kernels: str | None = None,
        fuse: bool | None = None,
        profile: str | None = None,
    ) -> None:
        if num_threads < 1:
            raise ValueError(f"num_threads must be at least 1, not {num_threads}")
        content = bytes(model) if isinstance(model, (bytes, bytearray, memoryview)) else Path(model).read_bytes()
        if content[4:8] != b"TFL3":
            raise ValueError("it is not a TFLite model; give the .tflite that Larq Compute Engine's converter made")
        self.host = host or find_host()
        self._arguments = (content, num_threads, {"kernels": kernels, "fuse": fuse, "profile": profile})
        self._native: dict[str, Any] = {}
        # The interpreter must go before its delegate, and both before Python takes the host's modules apart at exit.
        weakref.finalize(self, _release, self._native)
        self._start()
        self._details = self.input_details  # of the model as it was converted
        self._batch_is_fixed = False

    def _start(self) -> None:
        content, num_threads, options = self._arguments
        _release(self._native)
        self._native["delegate"] = load_delegate(host=self.host, **options)
        self._native["interpreter"] = _make_interpreter(self.host, content, num_threads, self._native["delegate"])
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
            inputs: one array for each input of the model, with its shape; the first dimension, the batch, may differ from the
                model's, and may be left out where it is 1. The data type must be the model's; floats of other widths are
                converted.

        Returns:
            The output as an array, or a list of arrays if the model has several.

        A model that its converter fixed to one batch size is run as often as it takes, if the batch is a multiple of it.

        Raises:
            ValueError: if the arrays do not fit the inputs.
            RuntimeError: if the host cannot run them. The interpreter stays usable.
        """
        if len(inputs) != len(self._details):
            raise ValueError(f"the model has {len(self._details)} inputs, not {len(inputs)}")
        arrays = [_as_input(array, detail) for array, detail in zip(inputs, self._details)]
        outputs = self._run_in_parts(arrays) if self._batch_is_fixed else self._run_at_once(arrays)
        return outputs[0] if len(outputs) == 1 else outputs

    def _run_at_once(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        try:
            self._resize([array.shape for array in arrays])
        except RuntimeError:
            self._start()  # a host that failed to resize has lost its own delegate: TensorFlow 2.15's would crash later
            if self._count_parts(arrays) is None:
                raise
            self._batch_is_fixed = True
            return self._run_in_parts(arrays)
        return self._run(arrays)

    def _run_in_parts(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        count = self._count_parts(arrays)
        if count is None:
            raise ValueError(f"the model takes batches of {self._details[0]['shape'][0]} only, and multiples of it")
        parts = zip(*(np.split(array, count) for array in arrays))
        return [np.concatenate(outputs) for outputs in zip(*(self._run(list(part)) for part in parts))]

    def _count_parts(self, arrays: list[np.ndarray]) -> int | None:
        """How often the model's own batches fit into the given ones; None if they do not."""
        counts = set()
        for array, detail in zip(arrays, self._details):
            own = tuple(detail["shape"])
            if not own or array.shape[1:] != own[1:] or array.shape[0] % own[0] != 0:
                return None
            counts.add(array.shape[0] // own[0])
        return counts.pop() if len(counts) == 1 else None

    def _run(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        for array, detail in zip(arrays, self._details):
            self._interpreter.set_tensor(detail["index"], array)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(detail["index"]) for detail in self.output_details]

    def _resize(self, shapes: list[tuple[int, ...]]) -> None:
        if shapes == [tuple(detail["shape"]) for detail in self.input_details]:
            return
        for shape, detail in zip(shapes, self._details):
            self._interpreter.resize_tensor_input(detail["index"], shape)
        self._interpreter.allocate_tensors()


def _release(native: dict[str, Any]) -> None:
    native.pop("interpreter", None)
    native.pop("delegate", None)


def _make_interpreter(host: Host, content: bytes, num_threads: int, delegate: Any) -> Any:
    try:
        return host.interpreter(model_content=content, num_threads=num_threads, experimental_delegates=[delegate])
    except SystemError as error:  # how a host says that it was built for another NumPy
        message = (
            f"{host.name} cannot work with NumPy {np.__version__}; `pip install 'numpy<2'`, or a newer {host.name}"
        )
        raise RuntimeError(message) from error


def _as_input(array: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    array = np.asarray(array)
    shape, dtype = tuple(int(size) for size in detail["shape"]), np.dtype(detail["dtype"])
    if array.ndim == len(shape) - 1 and shape[0] == 1:
        array = array[np.newaxis]
    # -1 marks what the converter left open; hosts can resize the batch in any case.
    is_open = [i == 0 or size == -1 for i, size in enumerate(detail.get("shape_signature", shape))]
    fits = array.ndim == len(shape) and all(
        own == given or (may_differ and given > 0) for own, given, may_differ in zip(shape, array.shape, is_open)
    )
    if not fits:
        raise ValueError(f"input {detail['name']!r} has shape {shape}, not {array.shape}")
    if array.dtype != dtype:
        if not (np.issubdtype(array.dtype, np.floating) and np.issubdtype(dtype, np.floating)):
            raise ValueError(f"input {detail['name']!r} has data type {dtype}, not {array.dtype}")
        array = array.astype(dtype)
    return np.ascontiguousarray(array)
