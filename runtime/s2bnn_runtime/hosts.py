"""The TFLite interpreters that this package can plug into."""

from __future__ import annotations

import importlib
import importlib.util
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from s2bnn_runtime.errors import S2bnnError, one_line

# The smallest comes first: who installed a small one wants to use it.
MODULES = {
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
    "tensorflow": "tensorflow.lite.python.interpreter",
}


@dataclass(frozen=True)
class Host:
    """An installed TFLite interpreter.

    Attributes:
        name: The distribution that contains it, a key of `MODULES`.
        interpreter: Its `Interpreter` class.
        load_delegate: Its function that loads a delegate library.
    """

    name: str
    interpreter: Callable[..., Any]
    load_delegate: Callable[..., Any]


def find_host(name: str | None = None) -> Host:
    """Import an installed TFLite interpreter.

    Args:
        name: A key of `MODULES`; defaults to the first that is installed.

    Raises:
        S2bnnError: If `name` is not a key of `MODULES`, or if the interpreter is not installed.
    """
    if name is not None and name not in MODULES:
        raise S2bnnError(f"unknown host {name!r}: choose one of {', '.join(MODULES)}")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # errors only: the hosts log a lot
    for candidate in MODULES if name is None else (name,):
        module_name = MODULES[candidate]
        if importlib.util.find_spec(module_name.split(".")[0]) is None:
            continue
        # TensorFlow 2.20 says at each opened file that it will lose its interpreter.
        warnings.filterwarnings("ignore", r"\s*Warning: tf\.lite\.Interpreter is depr", UserWarning)
        try:
            module = importlib.import_module(module_name)
        except ImportError as error:
            if error.name and f"{module_name}.".startswith(f"{error.name}."):
                continue  # a later TensorFlow, without it
            raise S2bnnError(
                f"{candidate} is installed but cannot be imported ({one_line(error)}); install it "
                "again"
            ) from error
        return Host(candidate, module.Interpreter, module.load_delegate)
    missing = name or "a TFLite interpreter"
    raise S2bnnError(f"{missing} is not installed: pip install {name or 'ai-edge-litert'}")
