"""A quiet terminal, and a clear message if the installed Keras would break Larq."""

from __future__ import annotations

import logging
import os
import warnings
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from s2bnn_tf.errors import UserError

_KERAS = "2.15"
_INSTALL = "install the tested set with `pip install tensorflow==2.15.1 keras==2.15.0`"


def quiet_tensorflow() -> None:
    """Silence messages from other packages; call this before TensorFlow is imported.

    Environment variables set by the user are kept, so `TF_CPP_MIN_LOG_LEVEL=0` shows
    TensorFlow's messages again.
    """
    # 3, since TensorFlow 2.15 reports each CUDA plugin's second registration as an error
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for logger in ("tensorflow", "absl"):
        logging.getLogger(logger).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", r"\s*TensorFlow Addons", UserWarning)
    warnings.filterwarnings("ignore", "The `keras.initializers.serialize", UserWarning)
    for module in ("tensorflow", "tensorflow_addons", "tensorflow_datasets", "keras", "larq"):
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=rf"{module}(\.|$)")


def require_keras_2() -> None:
    """Refuse an environment in which Larq cannot work.

    KERAS_BACKEND is not checked because Keras 2.15 ignores it.

    Raises:
        UserError: If TensorFlow or Keras is missing or is not 2.15, or if
            TF_USE_LEGACY_KERAS asks for a tf_keras that is not installed.
    """
    for package in ("tensorflow", "keras"):
        try:
            found = version(package)
        except PackageNotFoundError:
            raise UserError(f"{package} is not installed: {_INSTALL}.") from None
        if not found.startswith(f"{_KERAS}."):
            raise UserError(f"Larq needs {package} {_KERAS} and found {found}: {_INSTALL}.")
    legacy = os.environ.get("TF_USE_LEGACY_KERAS", "") in ("true", "True", "1")
    if legacy and find_spec("tf_keras") is None:
        raise UserError(
            "TF_USE_LEGACY_KERAS asks for the package tf_keras, which is not installed: "
            "unset the variable, since TensorFlow 2.15 has the Keras that Larq needs."
        )
