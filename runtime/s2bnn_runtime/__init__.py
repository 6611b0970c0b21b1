"""Larq Compute Engine models on any stock TFLite or LiteRT interpreter.

NumPy is loaded by the first name that needs it and not by the import, so that the program
`s2bnn-run` is in control from its first moment.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_MODULES = {
    "delegate": ("kernels", "library_path", "load_delegate"),
    "errors": ("S2bnnError",),
    "hosts": ("Host", "find_host"),
    "interpreter": ("Interpreter",),
    "prototypes": ("Prediction", "PrototypeClassifier"),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
