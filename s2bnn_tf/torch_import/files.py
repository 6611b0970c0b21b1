"""Checkpoint files read as named arrays, without executing any code in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from s2bnn_tf.errors import CheckpointError, ConfigError
from s2bnn_tf.reading import open_regular
from s2bnn_tf.torch_import.arrays import is_tensor, to_arrays
from s2bnn_tf.torch_import.unpickling import read_torch
from s2bnn_tf.torch_import.words import few, shown

# Keys of the weights in a file that holds more. DINO evaluates its teacher, hence the order.
_CONTAINERS = ("state_dict", "model", "teacher", "model_state_dict", "student")
# Keys of the running averages of the weights, as timm, torchvision and others name them.
_AVERAGES = ("state_dict_ema", "model_ema", "ema", "ema_state_dict", "model_ema_state_dict")
_DEEPEST = 8  # containers within containers; files that are met have two


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a file, and what else it holds.

    Attributes:
        tensors: The arrays by name.
        beside: The keys of everything else, such as the state of the optimizer.
        averages: The key of averaged weights, whether or not they are the tensors, or None if
            the file has none.
    """

    tensors: dict[str, NDArray[Any]]
    beside: list[str]
    averages: str | None


def read_checkpoint(path: Path, *, ema: bool = False) -> Checkpoint:
    """Read the tensors of a PyTorch or `.safetensors` file.

    Args:
        path: The file.
        ema: Whether to take the averaged weights instead of the trained ones.

    Raises:
        CheckpointError: If the file is damaged, cannot be read safely or has no tensors, or a
            package is missing that reads it.
        ConfigError: If `ema` is asked for and the file has no averaged weights.
    """
    content = _read_safetensors(path) if path.suffix == ".safetensors" else read_torch(path)
    tensors, beside, averages = _find_tensors(content, path, ema)
    del content  # several gigabytes for a wide network, most of it the optimizer's
    return Checkpoint(to_arrays(tensors, path.stat().st_size), beside, averages)


def _read_safetensors(path: Path) -> dict[str, NDArray[Any]]:
    """Read the tensors of a `.safetensors` file, which does not need PyTorch.

    The package compares all sizes in the file with that of the file.
    """
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError as error:
        raise CheckpointError(
            "Reading .safetensors needs a small package, but not PyTorch: pip install safetensors."
        ) from error
    open_regular(path).close()  # never a pipe, which the package would wait for
    try:
        tensors: dict[str, NDArray[Any]] = load_file(path)
    except (KeyError, AttributeError, TypeError) as error:  # bfloat16, which NumPy lacks
        raise CheckpointError(
            f"{path} holds numbers of a type that NumPy lacks, such as bfloat16: save it as "
            "32-bit floats."
        ) from error
    except (SafetensorError, ValueError, MemoryError) as error:
        reason = str(error)[:200]
        raise CheckpointError(f"{path} is not a whole .safetensors file ({reason}).") from error
    return tensors


def _find_tensors(
    content: Any, path: Path, ema: bool
) -> tuple[dict[str, Any], list[str], str | None]:
    """Find the state dict in the content of a file.

    It is the content itself, or the first of the usual containers, or else what all dictionaries
    in the content hold, each under its key.

    Returns:
        The tensors, the keys of everything else, and the key of averaged weights.
    """
    beside: list[str] = []
    averages = None
    for _ in range(_DEEPEST):
        entries = _entries(content)
        found = next((key for key in _AVERAGES if isinstance(entries.get(key), dict)), None)
        averages = averages or found
        usual = (key for key in _CONTAINERS if isinstance(entries.get(key), dict))
        inside = found if ema and found else next(usual, None)
        if inside is None:
            break
        beside += [shown(key) for key in entries if key != inside]
        content, ema = entries[inside], ema and not found
    else:
        raise CheckpointError(
            f"{path} has more than {_DEEPEST} containers within each other, or one within itself: "
            "save model.state_dict() and import that."
        )
    if ema:
        raise ConfigError(
            f"--ema takes averaged weights named {' or '.join(_AVERAGES)}, and {path} has "
            "none: leave it out."
        )
    tensors, others = _named_tensors(entries)
    if not tensors:
        raise CheckpointError(
            f"{path} has no state dict, neither itself nor as {' or '.join(_CONTAINERS)} (found: "
            f"{few(entries) or type(content).__name__}): save model.state_dict() and import that."
        )
    return tensors, beside + others, averages


def _entries(content: object) -> dict[Any, Any]:
    """What a dictionary holds, as a plain one; nothing if it is none.

    A file may give an OrderedDict attributes, and these may be called like its methods.
    """
    return {key: value for key, value in dict.items(content)} if isinstance(content, dict) else {}


def _named_tensors(entries: dict[Any, Any]) -> tuple[dict[str, Any], list[str]]:
    """The tensors in a dictionary, and those in dictionaries in it, with their key in front.

    Returns:
        The tensors by name, and the keys of everything else.
    """
    tensors, others = {}, []
    for key, value in entries.items():
        inner = {"": value} if is_tensor(value) else _entries(value)
        found = {
            f"{key}.{name}" if name else key: tensor
            for name, tensor in inner.items()
            if isinstance(key, str) and isinstance(name, str) and is_tensor(tensor)
        }
        tensors.update(found)
        if not found:
            others.append(shown(key))
    return tensors, others
