"""Self-supervised 1-bit vision encoders in Keras, from unlabeled images to a verified `.tflite`.

>>> import s2bnn_tf
>>> encoder = s2bnn_tf.fit("photos/", "runs/pets", minutes=30)  # doctest: +SKIP
>>> vectors = encoder.embed(["a.jpg", "b.jpg"])  # doctest: +SKIP

TensorFlow is loaded by the first call and not by the import, so that `s2bnn --help` is instant.
"""

from __future__ import annotations

import importlib
from typing import Any

from s2bnn_tf.environment import choose_keras_2

__all__ = ["__version__", "fit", "load"]

__version__ = "0.1.0"

choose_keras_2()


def __getattr__(name: str) -> Any:
    if name in ("fit", "load"):
        return getattr(importlib.import_module("s2bnn_tf.pipeline"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
