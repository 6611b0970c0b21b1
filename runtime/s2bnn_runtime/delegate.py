"""The delegate library of this package."""

from __future__ import annotations

import ctypes
import functools
import json
import os
from pathlib import Path
from typing import Any

from s2bnn_runtime.hosts import Host, find_host

LIBRARY_NAME = "libs2bnn_delegate.so"


def library_path() -> Path:
    """Path of the delegate library, for use from C, C++ or Java.

    The environment variable `S2BNN_LIBRARY` overrides the one in the package.

    Raises:
        FileNotFoundError: if there is none.
    """
    path = Path(os.environ.get("S2BNN_LIBRARY") or Path(__file__).parent / LIBRARY_NAME)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist; install s2bnn-runtime from a wheel, or build it with `make -C runtime build`"
        )
    return path


def load_delegate(
    *,
    host: Host | None = None,
    kernels: str | None = None,
    fuse: bool | None = None,
    profile: str | None = None,
) -> Any:
    """Loads the delegate for an interpreter's `experimental_delegates`.

    Args:
        host: the interpreter it is for; None takes the first that is installed.
        kernels: "reference", "portable", or those of an instruction set; None takes the best.
        fuse: whether to run the float operations between binary ones too; None means yes.
        profile: collect times under this name, for `read_profile`.

    Returns:
        The host's delegate object. It must live as long as the interpreter.

    Raises:
        FileNotFoundError: if the library is not there.
        ValueError: if the host refuses it; the message says why.
    """
    options = {"kernels": kernels, "fuse": None if fuse is None else str(int(fuse)), "profile": profile}
    given = {key: value for key, value in options.items() if value is not None}
    return (host or find_host()).load_delegate(str(library_path()), given)


def kernels() -> str:
    """Name of the kernels that this processor gets, for example "avx2"."""
    return _library().s2bnn_runtime_kernels().decode()


def read_profile(name: str) -> list[list[dict[str, Any]]]:
    """Times collected under `name` by the living interpreters.

    Returns:
        For each partition of the graph its steps, each with "name", "shape", "binary_macs" of one run, "runs", and
        "milliseconds" of a mean run.
    """
    size = _library().s2bnn_runtime_profile(name.encode(), None, 0) + 1
    buffer = ctypes.create_string_buffer(size)
    _library().s2bnn_runtime_profile(name.encode(), buffer, size)
    return json.loads(buffer.value)


@functools.cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(str(library_path()))
    library.s2bnn_runtime_kernels.restype = ctypes.c_char_p
    library.s2bnn_runtime_profile.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t]
    library.s2bnn_runtime_profile.restype = ctypes.c_size_t
    return library
