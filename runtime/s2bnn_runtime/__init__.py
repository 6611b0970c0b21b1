"""Larq Compute Engine models on any stock TFLite or LiteRT interpreter."""

from __future__ import annotations

from s2bnn_runtime.delegate import kernels, library_path, load_delegate
from s2bnn_runtime.errors import S2bnnError
from s2bnn_runtime.hosts import Host, find_host
from s2bnn_runtime.interpreter import Interpreter
from s2bnn_runtime.prototypes import Prediction, PrototypeClassifier

__version__ = "0.1.0"

__all__ = [
    "Host",
    "Interpreter",
    "Prediction",
    "PrototypeClassifier",
    "S2bnnError",
    "find_host",
    "kernels",
    "library_path",
    "load_delegate",
]
