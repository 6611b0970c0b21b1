"""A quiet terminal, Keras 2 under every TensorFlow, and one sentence where Larq could not work."""

from __future__ import annotations

import importlib
import logging
import os
import re
import sys
import warnings
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from s2bnn_tf.errors import UserError

# The first has Keras 2 in the package keras, the others have it in tf_keras. TensorFlow 2.16 to
# 2.18 come with a tf_keras whose set_random_seed breaks its initializers on Python 3.12.
_WITH_KERAS = ("2.15",)
_WITH_TF_KERAS = ("2.19", "2.20", "2.21")
_YES = ("true", "True", "1")
_LARQ = "install it with `pip install --no-deps larq==0.14.0 terminaltables`"


def tested_set() -> str:
    """Return the requirements that `pip install` takes for this Python, as one string.

    >>> "numpy" in tested_set()
    True
    """
    if sys.version_info < (3, 12):
        return '"tensorflow==2.15.1" "keras==2.15.0" "protobuf==3.20.3" "numpy<2"'
    numpy = "<2" if sys.version_info < (3, 13) else ">=2.1"  # NumPy 1 has no wheels for 3.13
    return f'"tensorflow==2.20.0" "tf-keras==2.20.1" "protobuf>=5.28" "numpy{numpy}"'


def quiet_tensorflow() -> None:
    """Silence messages from other packages; call this before TensorFlow is imported.

    Environment variables set by the user are kept, so `TF_CPP_MIN_LOG_LEVEL=0` shows
    TensorFlow's messages again.
    """
    # 3, since TensorFlow 2.15 reports each CUDA plugin's second registration as an error
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for logger in ("tensorflow", "absl"):
        logging.getLogger(logger).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", "The `keras.initializers.serialize", UserWarning)
    # TensorFlow 2.20 says so at every opened file; the next version is not in a tested set.
    warnings.filterwarnings("ignore", r"\s*Warning: tf\.lite\.Interpreter is deprec", UserWarning)
    for module in ("tensorflow", "tensorflow_datasets", "tf_keras", "keras", "larq"):
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=rf"{module}(\.|$)")


def choose_keras_2() -> None:
    """Let `tf.keras` be Keras 2, which TensorFlow from 2.16 on does only where it is asked to.

    This is called when the package is imported. TensorFlow reads the environment variable twice:
    for `from tensorflow.keras import ...` when it is imported itself, and for `tf.keras` when that
    is first used. A value that the user has set is kept.
    """
    if "TF_USE_LEGACY_KERAS" in os.environ or _minor("tensorflow") not in _WITH_TF_KERAS:
        return
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    tensorflow, tf_keras = sys.modules.get("tensorflow"), find_spec("tf_keras")
    if tensorflow is not None and tf_keras is not None and tf_keras.origin is not None:
        # It was imported before, so it gets the place that it would have chosen.
        place = os.path.join(os.path.dirname(tf_keras.origin), "api", "_v2")
        tensorflow.__path__.insert(0, place)


def require_keras_2() -> None:
    """Refuse an environment in which Larq cannot work; call this before TensorFlow is imported.

    Raises:
        UserError: If TensorFlow, its Keras 2, NumPy or protobuf is missing or of a version that
            does not work, or if Keras 3 is in use already.
    """
    tensorflow = _require_versions()
    legacy = os.environ.get("TF_USE_LEGACY_KERAS", "")
    if tensorflow in _WITH_KERAS:
        if legacy in _YES and _minor("tf_keras") is None:
            raise UserError(
                "TF_USE_LEGACY_KERAS asks for the package tf_keras, which is not installed: unset "
                "the variable, since TensorFlow 2.15 has the Keras that Larq needs."
            )
        return
    if legacy not in _YES:
        raise UserError(
            f"TF_USE_LEGACY_KERAS is {legacy!r}, and Larq needs Keras 2: "
            "set it with `export TF_USE_LEGACY_KERAS=1`."
        )
    _require_unused_keras_3()


def cache_directory() -> Path:
    """The cache of downloads and compiled kernels: `S2BNN_CACHE`, or `s2bnn` in the platform's."""
    own = os.environ.get("S2BNN_CACHE")
    if own:
        return Path(own)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "s2bnn"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "s2bnn"


def keras_module(name: str) -> ModuleType:
    """Import a module from the source of the Keras 2 that `tf.keras` is, such as "src.backend"."""
    import tensorflow as tf

    package = tf.keras.layers.Layer.__module__.split(".")[0]
    return importlib.import_module(f"{package}.{name}")


def _require_versions() -> str:
    """Check what is installed, without importing it, and return TensorFlow's version."""
    tensorflow = _require("tensorflow", *_WITH_KERAS, *_WITH_TF_KERAS)
    _require("keras" if tensorflow in _WITH_KERAS else "tf_keras", tensorflow)
    if _minor("larq") is None:
        raise UserError(f"Larq is not installed: {_LARQ}.")
    if _minor("protobuf") is None:
        raise UserError(f"protobuf, which TensorFlow needs, is not installed: {_install()}.")
    numpy = _minor("numpy")
    # Without Larq Compute Engine, which is then used in an environment of its own, any will do.
    if numpy is None or (not numpy.startswith("1.") and _minor("larq_compute_engine")):
        found = "none" if numpy is None else version("numpy")
        raise UserError(
            f"Larq Compute Engine needs NumPy 1 and found {found}: {_install()}, all in one "
            "command, since pip replaces NumPy otherwise."
        )
    return tensorflow


def _require(package: str, *wanted: str) -> str:
    """Return the version of a package, which must be one of those wanted."""
    found = _minor(package)
    if found is None:
        raise UserError(f"{package} is not installed: {_install()}.")
    if found not in wanted:
        names = " or ".join(wanted)
        raise UserError(f"Larq needs {package} {names} and found {version(package)}: {_install()}.")
    return found


def _require_unused_keras_3() -> None:
    """Refuse to continue where `tf.keras` was used before this package was imported."""
    import tensorflow as tf

    if tf.keras.Model.__module__.split(".")[0] != "tf_keras":
        raise UserError(
            "tf.keras is Keras 3 here, since it was used before s2bnn_tf was imported: import "
            "s2bnn_tf first, or set the variable with `export TF_USE_LEGACY_KERAS=1`."
        )


def _install() -> str:
    return f"install the tested set with `pip install {tested_set()}`"


def _minor(package: str) -> str | None:
    """Major and minor version of an installed package, or None."""
    try:
        found = re.match(r"\d+\.\d+", version(package))
    except PackageNotFoundError:
        return None
    return found.group() if found else None
