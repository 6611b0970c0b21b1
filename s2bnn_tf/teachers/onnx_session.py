"""A network in an ONNX file, run by onnxruntime on the processor."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from s2bnn_tf.errors import ModelError
from s2bnn_tf.teachers.onnx_file import OnnxFile

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}
_FREELY_TAKEN = 4 * 2**30  # bytes beyond those of the weights that opening and trying may take
_TIMES_THE_WEIGHTS = 4  # since they are copied, and folded
_LONGEST_REASON = 200  # characters


class Session:
    """A network with one picture as its input.

    Attributes:
        path: The file.
        dtype: The type of its input.
        shape: The four sizes of its input, None where any is taken.
        outputs: The names of its outputs.

    Args:
        file: The file, which was checked.

    Raises:
        ModelError: If onnxruntime is not installed or cannot open the file, or its input is none.
    """

    def __init__(self, file: OnnxFile):
        self.path = file.path
        self._session = _open(file)
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            names = ", ".join(printable_name(each.name) for each in inputs[:8])
            raise ModelError(
                f"{self.path} has {len(inputs)} inputs ({names}); export the part that takes one "
                "picture and returns its features."
            )
        self._input = inputs[0].name
        described = f"{inputs[0].type} {inputs[0].shape}"
        if inputs[0].type not in _DTYPES or len(inputs[0].shape) != 4:
            raise ModelError(
                f"{self.path} takes {described:.120} and no picture, which has batch, height, "
                "width and channels in float or uint8; export the part that takes the picture."
            )
        self.dtype = _DTYPES[inputs[0].type]
        self.shape = tuple(
            size if isinstance(size, int) and size > 0 else None for size in inputs[0].shape
        )
        self.outputs = [output.name for output in self._session.get_outputs()]

    def run(
        self, images: NDArray[np.float32], outputs: list[str] | None = None
    ) -> list[NDArray[Any]]:
        """Compute outputs, all of them by default.

        Args:
            images: A batch in the layout of the network.
            outputs: Their names.

        Raises:
            ModelError: If the network fails.
        """
        if self.dtype == np.uint8:
            images = np.clip(np.rint(images), 0, 255)
        try:
            found = self._session.run(outputs, {self._input: images.astype(self.dtype)})
        except Exception as error:  # onnxruntime has its own classes, which are not public
            raise ModelError(
                f"{self.path} fails with images {images.shape}: {_reason(error)}."
            ) from error
        return [np.asarray(each) for each in found]


def _open(file: OnnxFile) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(
            f"{file.path} needs onnxruntime: pip install onnxruntime (or s2bnn_tf[onnx])."
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # its messages repeat the exceptions
    # A thread that waits would take a processor from TensorFlow.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # From a file's path alone, it finds the weights beside it wherever the program runs.
    path = str(file.path.absolute())
    try:
        with bounded_memory(file):
            return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # as in Session.run
        raise ModelError(f"onnxruntime cannot open {file.path}: {_reason(error)}.") from error


def threads() -> int:
    """As many threads as TensorFlow has, or else one for each processor that we may use."""
    asked = int(tf.config.threading.get_intra_op_parallelism_threads())
    asked = asked or int(os.environ.get("TF_NUM_INTRAOP_THREADS") or 0)
    if asked > 0:
        return asked
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


@contextlib.contextmanager
def bounded_memory(file: OnnxFile) -> Iterator[None]:
    """Refuse this process more memory than opening and trying a file may take.

    A file of a few bytes can ask for a tensor of any size. Versions of onnxruntime differ in
    whether they make it when the file is opened or when the network is first run.
    """
    statistics = Path("/proc/self/statm")
    if not statistics.is_file():
        yield
        return
    pages = int(statistics.read_text("ascii").split()[0])
    limit = pages * resource.getpagesize()
    limit += _FREELY_TAKEN + _TIMES_THE_WEIGHTS * file.size_bytes
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    smallest = min(x for x in (limit, soft, hard) if x != resource.RLIM_INFINITY)
    resource.setrlimit(resource.RLIMIT_AS, (smallest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def printable_name(name: str) -> str:
    """A name from the file as it is shown in a message."""
    return "".join(c if c.isprintable() else "?" for c in name)[:80]


def _reason(error: Exception) -> str:
    """The first line of onnxruntime's message, without its codes."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    line = line.split(" : ")[-1] if line.startswith("[ONNXRuntimeError]") else line
    return "".join(c if c.isprintable() else "?" for c in line)[:_LONGEST_REASON].rstrip(". ")
