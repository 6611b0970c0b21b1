"""A Larq Compute Engine model, ready to predict."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from s2bnn_runtime.delegate import check_model, load_delegate, refusal
from s2bnn_runtime.errors import S2bnnError, file_errors
from s2bnn_runtime.hosts import Host, find_host

_MOST_THREADS = 1024


class Interpreter:
    """Run a `.tflite` with Larq Compute Engine's operations in the installed TFLite interpreter.

    Several threads may share an interpreter: a lock lets one of them predict at a time. To predict
    in several threads at once, give each its own interpreter.

    Args:
        model: The path of a `.tflite`, or its content.
        num_threads: The number of threads for one prediction, from 1 to 1024.
        host: The TFLite interpreter to use; defaults to the first that is installed.
        kernels: See `load_delegate`.
        fuse: See `load_delegate`.
        profile: See `load_delegate`.

    Raises:
        S2bnnError: If the file does not exist, if no TFLite interpreter is installed, or if the
            model cannot be run.
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
        if not 1 <= num_threads <= _MOST_THREADS:
            raise S2bnnError(f"the number of threads is 1 to {_MOST_THREADS}, not {num_threads}")
        self._content = _read(model)
        check_model(self._content)
        self._num_threads = num_threads
        self._options: dict[str, Any] = {"kernels": kernels, "fuse": fuse, "profile": profile}
        self.host = host or find_host()
        # Held from a run's inputs to the copies of its outputs, and while the host is replaced.
        self._lock = threading.RLock()
        self._native: dict[str, Any] = {}
        # The interpreter must be released before its delegate, and both before Python takes the
        # host's modules apart at exit.
        weakref.finalize(self, _release, self._native)
        self._start()
        self._details = self.input_details  # of the model as it was converted
        self._batch_is_fixed = False

    def _start(self) -> None:
        _release(self._native)
        delegate = self._native["delegate"] = load_delegate(host=self.host, **self._options)
        try:
            self._native["interpreter"] = self.host.interpreter(
                model_content=self._content,
                num_threads=self._num_threads,
                experimental_delegates=[delegate],
            )
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise S2bnnError(refusal(error)) from error
        except SystemError as error:  # the way in which a host reports another NumPy's arrays
            raise S2bnnError(
                f"{self.host.name} cannot work with NumPy {np.__version__}; "
                f"`pip install 'numpy<2'`, or a newer {self.host.name}"
            ) from error

    @property
    def _interpreter(self) -> Any:
        return self._native["interpreter"]

    @property
    def input_details(self) -> list[dict[str, Any]]:
        """The host's description of the inputs: "name", "shape", "dtype", "quantization" ..."""
        with self._lock:
            details: list[dict[str, Any]] = self._interpreter.get_input_details()
        return details

    @property
    def output_details(self) -> list[dict[str, Any]]:
        """The host's description of the outputs."""
        with self._lock:
            details: list[dict[str, Any]] = self._interpreter.get_output_details()
        return details

    def predict(
        self,
        *inputs: ArrayLike | list[ArrayLike] | Iterator[Any],
        verbose: int = 0,
    ) -> NDArray[Any] | list[NDArray[Any]]:
        """Run the network, on arrays or on everything that Larq Compute Engine's `predict` takes.

        A model that its converter fixed to one batch size runs as often as needed, if the batch is
        a multiple of that size.

        Args:
            inputs: One array for each input of the model, with its shape. The first dimension, the
                batch, may differ from the model's, and may be left out if it is 1. The data type
                must be the model's; floats of other widths are converted. In place of the arrays,
                one list of them; or one iterator over samples without a batch dimension, each an
                array, or one array for each input of the model. It runs the samples one by one.
            verbose: Without effect, for programs written for Larq Compute Engine.

        Returns:
            The output as an array, or a list of arrays if the model has several outputs. The
            results of an iterator's samples are joined along the first dimension.

        Raises:
            S2bnnError: If the arrays do not match the inputs, if an iterator has no samples, or if
                the host cannot run them. The interpreter stays usable.
        """
        values: Any = inputs[0] if len(inputs) == 1 else list(inputs)
        if _is_iterator(values):
            runs = [self._predict(_as_batch(sample)) for sample in values]
            if not runs:
                raise S2bnnError("the iterator has no samples")
            outputs = [np.concatenate(parts) for parts in zip(*runs)]
        else:
            outputs = self._predict(values if isinstance(values, list) else [values])
        return outputs[0] if len(outputs) == 1 else outputs

    def _predict(self, inputs: list[Any]) -> list[NDArray[Any]]:
        if len(inputs) != len(self._details):
            raise S2bnnError(f"the model has {len(self._details)} inputs, not {len(inputs)}")
        arrays = [_as_input(array, detail) for array, detail in zip(inputs, self._details)]
        with self._lock:
            return (self._run_in_parts if self._batch_is_fixed else self._run_at_once)(arrays)

    def _run_at_once(self, arrays: list[NDArray[Any]]) -> list[NDArray[Any]]:
        try:
            self._resize([array.shape for array in arrays])
        except RuntimeError as error:
            # A host that failed to resize has lost its own delegate: TensorFlow 2.15 would crash.
            self._start()
            if self._count_parts(arrays) is None:
                raise S2bnnError(refusal(error)) from error
            self._batch_is_fixed = True
            return self._run_in_parts(arrays)
        return self._run(arrays)

    def _run_in_parts(self, arrays: list[NDArray[Any]]) -> list[NDArray[Any]]:
        count = self._count_parts(arrays)
        if count is None:
            size = self._details[0]["shape"][0]
            raise S2bnnError(f"the model takes batches of {size} only, and multiples of it")
        parts = zip(*(np.split(array, count) for array in arrays))
        return [np.concatenate(y) for y in zip(*(self._run(list(part)) for part in parts))]

    def _count_parts(self, arrays: list[NDArray[Any]]) -> int | None:
        """How many of the model's own batches the arrays hold; None if they do not fit."""
        counts = set()
        for array, detail in zip(arrays, self._details):
            own = tuple(detail["shape"])
            if not own or array.shape[1:] != own[1:] or array.shape[0] % own[0] != 0:
                return None
            counts.add(array.shape[0] // int(own[0]))
        return counts.pop() if len(counts) == 1 else None

    def _run(self, arrays: list[NDArray[Any]]) -> list[NDArray[Any]]:
        try:
            for array, detail in zip(arrays, self._details):
                self._interpreter.set_tensor(detail["index"], array)
            self._interpreter.invoke()
        except RuntimeError as error:
            raise S2bnnError(refusal(error)) from error
        return [self._interpreter.get_tensor(detail["index"]) for detail in self.output_details]

    def _resize(self, shapes: list[tuple[int, ...]]) -> None:
        if shapes == [tuple(detail["shape"]) for detail in self.input_details]:
            return
        for shape, detail in zip(shapes, self._details):
            self._interpreter.resize_tensor_input(detail["index"], shape)
        self._interpreter.allocate_tensors()


def _read(model: str | os.PathLike[str] | bytes | bytearray | memoryview) -> bytes:
    if isinstance(model, (bytes, bytearray, memoryview)):
        content = bytes(model)
    else:
        with file_errors():
            content = Path(model).read_bytes()
    if content[4:8] != b"TFL3":
        raise S2bnnError(
            "it is not a TFLite model; use the .tflite that Larq Compute Engine's converter wrote"
        )
    return content


def _is_iterator(value: Any) -> bool:
    return hasattr(value, "__next__") and hasattr(value, "__iter__")


def _as_batch(sample: Any) -> list[NDArray[Any]]:
    """One array for each input of the model, with a batch dimension, from a sample without."""
    arrays = [sample] if isinstance(sample, np.ndarray) else sample
    return [np.expand_dims(array, axis=0) for array in arrays]


def _release(native: dict[str, Any]) -> None:
    native.pop("interpreter", None)
    native.pop("delegate", None)


def _as_input(values: ArrayLike, detail: dict[str, Any]) -> NDArray[Any]:
    array = np.asarray(values)
    shape, dtype = tuple(int(size) for size in detail["shape"]), np.dtype(detail["dtype"])
    if array.ndim == len(shape) - 1 and shape[0] == 1:
        array = array[np.newaxis]
    # -1 marks a dimension that the converter left open. Hosts can always resize the batch.
    is_open = [i == 0 or size == -1 for i, size in enumerate(detail.get("shape_signature", shape))]
    fits = array.ndim == len(shape) and all(
        own == given or (may_differ and given > 0)
        for own, given, may_differ in zip(shape, array.shape, is_open)
    )
    if not fits:
        raise S2bnnError(f"input {detail['name']!r} has shape {shape}, not {array.shape}")
    if array.dtype != dtype:
        if not (np.issubdtype(array.dtype, np.floating) and np.issubdtype(dtype, np.floating)):
            raise S2bnnError(f"input {detail['name']!r} has data type {dtype}, not {array.dtype}")
        array = array.astype(dtype)
    return np.ascontiguousarray(array)
