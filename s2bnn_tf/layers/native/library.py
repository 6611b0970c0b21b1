"""The compiled kernels: where they are, how they are made, and whether layers use them."""

from __future__ import annotations

import contextlib
import contextvars
import hashlib
import logging
import os
import platform
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.python.saved_model.save_context import in_save_context

from s2bnn_tf.environment import cache_directory
from s2bnn_tf.files import replaced, sha256

log = logging.getLogger(__name__)

_HERE = Path(__file__).resolve().parent
_SOURCE = "ops.cc"
# Without contraction, a product is rounded before it is added, as in TensorFlow's kernels. GCC does
# not use the widest vectors of x86 by itself.
_FLAGS = [
    *("-O3", "-march=native", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"),
    *("-fPIC", "-shared", "-w"),
    *(["-mprefer-vector-width=512"] if platform.machine() == "x86_64" else []),
]
_OTHERS = stat.S_IWGRP | stat.S_IWOTH

_loaded: Any = None  # the operations, once they are loaded
_failed = False  # whether that was tried in vain
_predicting = contextvars.ContextVar("_predicting", default=False)  # whether prediction uses them


def operations() -> Any:
    """Return the operations of ops.cc as Python functions, or None where they are not loaded."""
    return _loaded


def in_use(inputs: tf.Tensor, training: Any) -> bool:
    """Whether a layer should compute with the kernels: in training, and in float32."""
    if _loaded is None or inputs.dtype != tf.float32 or in_save_context():
        return False  # a SavedModel holds what it computes in training, too
    # Where it is a tensor, TensorFlow's kernels compute both ways.
    return _predicting.get() or (isinstance(training, (bool, int)) and bool(training))


@contextlib.contextmanager
def kernels_in_prediction() -> Iterator[None]:
    """Let layers use the kernels in prediction, too, as that of a teacher is part of training.

    Elsewhere prediction is TensorFlow's, so that what is exported or saved holds no operation that
    others lack.

    >>> from s2bnn_tf.layers import RPReLU, kernels_in_prediction
    >>> with kernels_in_prediction():
    ...     outputs = RPReLU()(tf.ones([1, 2, 2, 4]), training=False)
    """
    token = _predicting.set(True)
    try:
        yield
    finally:
        _predicting.reset(token)


def load_kernels() -> bool:
    """Load the kernels, and compile them if this machine has not done so.

    From then on, `RSign`, `RPReLU`, and `BinaryConv2D` use them wherever they are called with
    `training=True` on float32. They compute the same function and take less time and memory; sums
    are rounded in another order. `s2bnn train` and `s2bnn fit` call this for binary students.
    The environment variable `S2BNN_NATIVE=0` forbids it.

    Compiling takes about ten seconds, needs g++ and nothing else that TensorFlow's package lacks,
    and happens again when TensorFlow, the processor, or the source has changed. The result is
    kept in `kernels/` in the cache.

    >>> used = load_kernels()

    Returns:
        Whether layers use the kernels now. They do not on systems other than Linux, beside a GPU,
        without a compiler, or where compiling fails; a message says why it failed.
    """
    global _loaded, _failed
    if _loaded is not None:
        return True
    if _failed or os.environ.get("S2BNN_NATIVE") == "0" or sys.platform != "linux":
        return False
    if tf.config.list_physical_devices("GPU"):  # which has no kernels of these operations
        return False
    try:
        _loaded = tf.load_op_library(str(_find_or_compile()))
    except (OSError, RuntimeError, subprocess.CalledProcessError, tf.errors.OpError) as error:
        _failed = True
        log.info("Training with TensorFlow's kernels: %s", _reason(error))
    return _loaded is not None


def _reason(error: Exception) -> str:
    """The line that says what is wrong, of a compiler or of the system."""
    lines = str(getattr(error, "stderr", "") or error).strip().splitlines()
    return next((line for line in lines if "error" in line), lines[0] if lines else "")


@contextlib.contextmanager
def without_kernels() -> Iterator[None]:
    """Let layers compute with TensorFlow's kernels alone, to compare with."""
    global _loaded
    kept, _loaded = _loaded, None
    try:
        yield
    finally:
        _loaded = kept


def _find_or_compile() -> Path:
    """The library of this source, TensorFlow, and processor.

    Raises:
        OSError: If there is no compiler, or the cache cannot be written or is open to others.
        subprocess.CalledProcessError: If it does not compile.
    """
    path = cache_directory().absolute() / "kernels" / f"{_identity()}.so"
    if not _is_whole(path):
        compiler = shutil.which("g++")
        if compiler is None:
            raise OSError("there is no g++ to compile faster ones with.")
        log.info("Compiling kernels for training on this processor, once: about 10 seconds.")
        with replaced(path, _sum_of(path)) as (library, digest):
            _compile(compiler, library)
            digest.write_text(sha256(library))
        for place in (path, path.parent):  # whatever the umask is
            place.chmod(place.stat().st_mode & ~_OTHERS)
    cache = path.parent.parent
    for place, safe in (
        *((place, _only_ours(place)) for place in (path, path.parent)),
        (cache, not cache.stat().st_mode & stat.S_IWOTH or cache.stat().st_mode & stat.S_ISVTX),
    ):
        if not safe:
            raise OSError(f"others can write to {place}; set S2BNN_CACHE to a folder of your own.")
    return path


def _sum_of(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _is_whole(path: Path) -> bool:
    """Whether the library is there as it was compiled; loading a truncated one ends the process."""
    try:
        return _only_ours(path) and _sum_of(path).read_text() == sha256(path)
    except (OSError, UnicodeDecodeError):
        return False


def _only_ours(place: Path) -> bool:
    state = place.stat()
    return state.st_uid in (0, os.getuid()) and not state.st_mode & _OTHERS


def _compile(compiler: str, output: Path) -> None:
    command = [compiler, *_FLAGS, *tf.sysconfig.get_compile_flags(), str(_HERE / _SOURCE)]
    command += ["-o", str(output), *tf.sysconfig.get_link_flags()]
    subprocess.run(command, check=True, capture_output=True, text=True)


def _identity() -> str:
    """A digest of everything that the compiled library depends on."""
    digest = hashlib.sha256()
    for path in sorted([*_HERE.glob("*.cc"), *_HERE.glob("*.h")]):
        digest.update(path.name.encode() + path.read_bytes())
    digest.update(" ".join([tf.version.VERSION, platform.machine(), *_FLAGS]).encode())
    with contextlib.suppress(OSError):  # where it is missing, the machine is all that is known
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        known = [line for line in lines if line.lower().startswith(("flags", "features"))]
        digest.update(known[0].encode() if known else b"")
    return digest.hexdigest()[:16]
