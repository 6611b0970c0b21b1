"""The delegate library of this package."""

from __future__ import annotations

import ctypes
import functools
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2bnn_runtime.errors import S2bnnError, one_line
from s2bnn_runtime.hosts import Host, find_host

LIBRARY_NAME = "libs2bnn_delegate.so"


def library_path() -> Path:
    """The path of the delegate library, for use from C, C++ or Java.

    The environment variable `S2BNN_LIBRARY` overrides the library in the package.

    Raises:
        S2bnnError: If the library does not exist.
    """
    path = Path(os.environ.get("S2BNN_LIBRARY") or Path(__file__).parent / LIBRARY_NAME)
    if not path.is_file():
        raise S2bnnError(
            f"{path} does not exist; install s2bnn-runtime from a wheel, or build it with "
            "`make -C runtime build`"
        )
    return path


def load_delegate(
    *,
    host: Host | None = None,
    kernels: str | None = None,
    fuse: bool | None = None,
    profile: str | None = None,
) -> Any:
    """Load the delegate for an interpreter's `experimental_delegates`.

    Args:
        host: The interpreter that it is for; defaults to the first that is installed.
        kernels: "reference", "portable", or the name of an instruction set's kernels; defaults to
            the best that the processor has.
        fuse: Whether to run the float operations between binary ones too; defaults to yes.
        profile: The name to collect times under, for `read_profile`; defaults to none.

    Returns:
        The host's delegate object. It must live as long as the interpreter.

    Raises:
        S2bnnError: If the library does not exist, or if the host or the library refuses the
            options.
    """
    host = host or find_host()
    fused = None if fuse is None else str(int(fuse))
    options = {"kernels": kernels, "fuse": fused, "profile": profile}
    given = {key: value for key, value in options.items() if value is not None}
    path = library_path()
    try:
        return host.load_delegate(str(path), given)
    except (OSError, RuntimeError, ValueError) as error:
        raise S2bnnError(f"{host.name} cannot load the delegate: {refusal(error)}") from error


def kernels() -> str:
    """The name of the kernels that this processor gets, for example "avx2".

    Raises:
        S2bnnError: If the library does not exist or is built for another processor.
    """
    name: bytes = _library().s2bnn_runtime_kernels()
    return name.decode()


def check_model(content: bytes) -> None:
    """Check what TFLite interpreters take on trust in a `.tflite`, before one opens it.

    It must be a whole flatbuffer; the operators, buffers and tensors that it names must exist; and
    every tensor that a node reads must be an input, a constant, a variable, or made by an earlier
    node, and have only one of these sources.

    Args:
        content: The bytes of the file.

    Raises:
        S2bnnError: If it is damaged, if its nodes cannot be executed in their order, or if the
            library does not exist or is built for another processor.
    """
    message = ctypes.create_string_buffer(1024)
    if not _library().s2bnn_runtime_check_file(content, len(content), message, len(message)):
        reason = message.value.decode(errors="replace")
        raise S2bnnError(f"it is damaged ({reason}); convert the model again")


def nearest(
    codes: NDArray[np.uint64],
    query: NDArray[np.uint64],
    wanted: int,
    *,
    kernels: str | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """The codes that differ from one in the fewest bits, and all as near as the last of these.

    Args:
        codes: `(N, W)`; they need not be aligned, as in a file that is mapped.
        query: `(W,)`.
        wanted: How many to find, at least 0; fewer if there are fewer.
        kernels: As for `load_delegate`, except "reference"; defaults to the best.

    Returns:
        Their rows, in order, and the number of bits in which each differs.

    Raises:
        S2bnnError: If the shapes do not match, if there are no such kernels, or if the library does
            not exist or is built for another processor.
    """
    codes, query = np.ascontiguousarray(codes, np.uint64), np.ascontiguousarray(query, np.uint64)
    (words,) = query.shape
    if codes.ndim != 2 or codes.shape[1] != words:
        raise S2bnnError(f"codes have shape (N, {words}), not {codes.shape}")
    count = len(codes)
    rows, distances = np.empty(count, np.int64), np.empty(count, np.uint32)
    found: int = _library().s2bnn_runtime_nearest(
        None if kernels is None else kernels.encode(),
        codes.ctypes.data,
        count,
        words,
        query.ctypes.data,
        wanted,
        rows.ctypes.data,
        distances.ctypes.data,
    )
    if found < 0:
        raise S2bnnError(f"this processor has no kernels {kernels!r} that compare codes")
    return rows[:found].copy(), distances[:found].copy()


def read_profile(name: str) -> list[list[dict[str, Any]]]:
    """Read the times that living interpreters collected under a name.

    Args:
        name: The `profile` of the interpreters.

    Returns:
        The steps of each partition of the graph. A step has "name", "shape", "binary_macs" of one
        run, "runs", and "milliseconds" of a mean run.

    Raises:
        S2bnnError: If the library does not exist or is built for another processor.
    """
    size: int = _library().s2bnn_runtime_profile(name.encode(), None, 0) + 1
    buffer = ctypes.create_string_buffer(size)
    _library().s2bnn_runtime_profile(name.encode(), buffer, size)
    profile: list[list[dict[str, Any]]] = json.loads(buffer.value)
    return profile


def refusal(error: Exception) -> str:
    """Why a host does not run a model, on one line.

    These are the delegate's own words if there are any, without the host's words around them.
    """
    ends = r"Encountered unresolved|Node number|Failed to apply|\n|$"
    own = re.search(rf"s2bnn_runtime: (.*?)({ends})", str(error))
    return own[1].strip() if own else one_line(error)


@functools.cache
def _library() -> ctypes.CDLL:
    path = library_path()
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise S2bnnError(
            f"{path} cannot be loaded ({one_line(error)}); install the wheel for this processor"
        ) from error
    library.s2bnn_runtime_check_file.argtypes = [
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_char_p,
        ctypes.c_size_t,
    ]
    library.s2bnn_runtime_check_file.restype = ctypes.c_bool
    library.s2bnn_runtime_nearest.argtypes = [
        ctypes.c_char_p,
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_size_t,
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_void_p,
        ctypes.c_void_p,
    ]
    library.s2bnn_runtime_nearest.restype = ctypes.c_int64
    library.s2bnn_runtime_kernels.restype = ctypes.c_char_p
    library.s2bnn_runtime_profile.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t]
    library.s2bnn_runtime_profile.restype = ctypes.c_size_t
    return library
