"""Checkpoint files to named arrays, without executing anything that is in them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from s2bnn_tf.errors import UserError

# Where publishers put the weights in a file that holds more; DINO's teacher is what it evaluates.
_CONTAINERS = ("state_dict", "model", "teacher", "model_state_dict", "student")
# What PyTorch's and Lightning's wrappers put before every name.
_WRAPPERS = ("module.", "_orig_mod.", "model.")


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a `.safetensors` file; PyTorch is not needed.

    Raises:
        UserError: if the package safetensors is missing, or the file is damaged.
    """
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError as error:
        raise UserError(
            "Reading .safetensors needs a small package, and not PyTorch: pip install safetensors."
        ) from error
    try:
        return load_file(path)
    except SafetensorError as error:
        raise UserError(f"{path} is not a whole .safetensors file ({error}).") from error
    except (KeyError, AttributeError, TypeError) as error:  # bfloat16, which NumPy lacks
        raise UserError(
            f"{path} holds numbers of a type that NumPy lacks ({error}): save it as float32."
        ) from error


def find_tensors(content: Any, path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """The state dict in what a file holds, and what else is there.

    Args:
        content: A state dict, or a dictionary with one under a usual name.
        path: For messages.

    Returns:
        Arrays by name, without the prefixes that wrappers add to every name; and the
        names of everything beside them, such as the state of the optimizer.

    Raises:
        UserError: if there is no state dict.
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
        raise UserError(
            f"{path} has no state dict, neither itself nor as {' or '.join(_CONTAINERS)} (found: "
            f"{str(found)[:200]}): save model.state_dict() and import that."
        )
    tensors = {str(name): _array(value) for name, value in content.items() if _is_tensor(value)}
    beside += [str(name) for name, value in content.items() if not _is_tensor(value)]
    return _unwrapped(tensors), beside


def _is_state_dict(content: Mapping) -> bool:
    return any(_is_tensor(value) for value in content.values())


def _is_tensor(value: Any) -> bool:
    return isinstance(value, np.ndarray) or hasattr(value, "detach")


def _array(value: Any) -> np.ndarray:
    if isinstance(value, np.ndarray):
        return value
    value = value.detach().cpu()
    return (value.float() if value.is_floating_point() else value).numpy()


def _unwrapped(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    for wrapper in _WRAPPERS:
        if all(name.startswith(wrapper) for name in tensors):
            return _unwrapped({name[len(wrapper) :]: value for name, value in tensors.items()})
    return tensors
