"""A quiet terminal, and a clear word where another Keras would break Larq."""

from __future__ import annotations

import logging
import os
import warnings
from importlib.metadata import PackageNotFoundError, version

from s2bnn_tf.errors import UserError


def quiet_tensorflow() -> None:
    """Silence what foreign packages say at import; call it before TensorFlow is imported.

    Environment variables that the user has set are left alone.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    for module in ("tensorflow_addons", "tensorflow_datasets", "keras", "zookeeper"):
        warnings.filterwarnings("ignore", module=rf"{module}(\.|$)")


def require_keras_2() -> None:
    """Refuse an environment in which Larq cannot work.

    Raises:
        UserError: where TF_USE_LEGACY_KERAS is set or TensorFlow is not 2.15.
    """
    if os.environ.get("TF_USE_LEGACY_KERAS", "").lower() in ("1", "true"):
        raise UserError("Unset TF_USE_LEGACY_KERAS: Larq works with the Keras inside TensorFlow.")
    try:
        found = version("tensorflow")
    except PackageNotFoundError:
        raise UserError("TensorFlow is missing; install tensorflow==2.15.1.") from None
    major, minor = (int(part) for part in found.split(".")[:2])
    if (major, minor) >= (2, 16):
        raise UserError(
            f"TensorFlow {found} brings Keras 3, which Larq does not support; "
            "install tensorflow==2.15.1."
        )
