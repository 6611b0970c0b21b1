"""Checkpoint files read as named arrays, without executing any code in them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.errors import CheckpointError

# Keys of the weights in a file that holds more. DINO evaluates its teacher, hence the order.
_CONTAINERS = ("state_dict", "model", "teacher", "model_state_dict", "student")
# Prefixes that the wrappers of PyTorch and Lightning add to every name.
_WRAPPERS = ("module.", "_orig_mod.", "model.")


def read_safetensors(path: Path) -> dict[str, NDArray[Any]]:
    """Read the tensors of a `.safetensors` file, which does not need PyTorch.

    Raises:
        CheckpointError: If the package safetensors is missing, or the file is damaged, or
            NumPy lacks a number type that it uses.
    """
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError as error:
        raise CheckpointError(
            "Reading .safetensors needs a small package, but not PyTorch: pip install safetensors."
        ) from error
    try:
        tensors: dict[str, NDArray[Any]] = load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"{path} is not a whole .safetensors file ({error}).") from error
    except (KeyError, AttributeError, TypeError) as error:  # bfloat16, which NumPy lacks
        raise CheckpointError(
            f"{path} holds numbers of a type that NumPy lacks ({error}): save it as float32."
        ) from error
    return tensors


def find_tensors(content: Any, path: Path) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Find the state dict in the content of a file.

    Args:
        content: A state dict, or a dictionary with one under one of the usual keys.
        path: The file, for messages.

    Returns:
        The arrays by name, without the prefixes that wrappers add to every name; and the keys
        of everything else in the file, such as the state of the optimizer.

    Raises:
        CheckpointError: If there is no state dict.
    """
    beside: list[str] = []
    while isinstance(content, Mapping):
        inside = next((key for key in _CONTAINERS if isinstance(content.get(key), Mapping)), None)
        if inside is None:
            break
        beside += [str(key) for key in content if key != inside]
        content = content[inside]
    if not isinstance(content, Mapping) or not _is_state_dict(content):
        found = ", ".join(map(str, content)) if isinstance(content, Mapping) else type(content)
        raise CheckpointError(
            f"{path} has no state dict, neither itself nor as {' or '.join(_CONTAINERS)} (found: "
            f"{str(found)[:200]}): save model.state_dict() and import that."
        )
    tensors = {str(name): _array(value) for name, value in content.items() if _is_tensor(value)}
    beside += [str(name) for name, value in content.items() if not _is_tensor(value)]
    return _unwrapped(tensors), beside


def _is_state_dict(content: Mapping[Any, Any]) -> bool:
    return any(_is_tensor(value) for value in content.values())


def _is_tensor(value: Any) -> bool:
    return isinstance(value, np.ndarray) or hasattr(value, "detach")


def _array(value: Any) -> NDArray[Any]:
    if not isinstance(value, np.ndarray):
        value = value.detach().cpu()
        value = (value.float() if value.is_floating_point() else value).numpy()
    array: NDArray[Any] = value
    return array


def _unwrapped(tensors: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    for wrapper in _WRAPPERS:
        if all(name.startswith(wrapper) for name in tensors):
            return _unwrapped({name[len(wrapper) :]: value for name, value in tensors.items()})
    return tensors
