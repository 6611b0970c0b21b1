"""The TFLite interpreters that this package can plug into."""

from __future__ import annotations

import importlib
import importlib.util
import os
from dataclasses import dataclass
from typing import Any, Callable

# Smallest first: whoever installed one of the small ones wants it used.
MODULES = {
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
    "tensorflow": "tensorflow.lite.python.interpreter",
}


class HostNotFoundError(ImportError):
    """No TFLite interpreter is installed, or not the one asked for."""


@dataclass(frozen=True)
class Host:
    """An installed TFLite interpreter.

    Attributes:
        name: the distribution that brought it, one of `MODULES`.
        interpreter: its `Interpreter` class.
        load_delegate: its function that loads a delegate library.
    """

    name: str
    interpreter: Callable[..., Any]
    load_delegate: Callable[..., Any]


def find_host(name: str | None = None) -> Host:
    """Imports an installed TFLite interpreter.

    Args:
        name: a key of `MODULES`; None takes the first that is installed.

    Raises:
        HostNotFoundError: if there is none.
        ValueError: if `name` is not a key of `MODULES`.
    """
    if name is not None and name not in MODULES:
        raise ValueError(f"unknown host {name!r}: choose one of {', '.join(MODULES)}")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # all but errors: the hosts tell a lot of themselves
    for candidate in MODULES if name is None else (name,):
        module_name = MODULES[candidate]
        if importlib.util.find_spec(module_name.split(".")[0]) is None:
            continue
        module = importlib.import_module(module_name)
        return Host(candidate, module.Interpreter, module.load_delegate)
    what = name or "a TFLite interpreter"
    raise HostNotFoundError(f"{what} is not installed: pip install {name or 'ai-edge-litert'}")
