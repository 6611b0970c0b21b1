"""NumPy arrays from the tensors of a file, after a check that their numbers are in the file."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.errors import CheckpointError
from s2bnn_tf.torch_import.unpickling import StoredArray

_LARGEST_SHARE = 2  # of the file's size, for all of its tensors; a tensor may have two names
_CURE = "save the state dict of a dense model, with detached clones of its tensors"


def is_tensor(value: object) -> bool:
    """Whether a value is an array of numbers: one of PyTorch, of NumPy, or a `StoredArray`."""
    if isinstance(value, StoredArray):
        return value.is_numeric
    return isinstance(value, np.ndarray) or hasattr(value, "detach")


def to_arrays(tensors: Mapping[str, Any], file_size: int) -> dict[str, NDArray[Any]]:
    """Make NumPy arrays of tensors.

    They share memory with the tensors, except those of number types that NumPy lacks, which
    become float32. Before a tensor takes memory, its size is compared with what the file can hold:
    a tensor of stride 0 has any size and no more than one number.

    Args:
        tensors: Tensors by name, each of them one by `is_tensor`.
        file_size: The size of their file in bytes.

    Raises:
        CheckpointError: If a tensor is sparse, quantized, without values, larger than the file
            can hold, or otherwise not an array; it names the tensor.
    """
    left = _LARGEST_SHARE * file_size
    arrays: dict[str, NDArray[Any]] = {}
    known: dict[Hashable, NDArray[Any]] = {}  # two names for one tensor cost its memory once
    for name, value in tensors.items():
        try:
            place, size = _place_and_size(value)
            if place not in known:
                left -= size
                if left < 0:
                    raise ValueError(
                        f"with it, the tensors have more than {_LARGEST_SHARE} times the "
                        f"{file_size:,} bytes of the file"
                    )
                known[place] = _array(value)
            arrays[name] = known[place]
        except Exception as error:  # what a file pretends to be a tensor raises anything
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise CheckpointError(f"{name[:200]} cannot be read ({reason}); {_CURE}.") from error
    return arrays


def _place_and_size(value: Any) -> tuple[Hashable, int]:
    """Where the numbers of a tensor are, and their size in bytes.

    Raises:
        ValueError: If it has no numbers in a place of its own.
    """
    if isinstance(value, (np.ndarray, StoredArray)):
        array = value if isinstance(value, np.ndarray) else value.array()
        return id(value), array.nbytes
    import torch

    faults = {
        "it is sparse": value.layout is not torch.strided,
        "it has no values, as on the device meta": value.is_meta,
        "it is quantized": value.is_quantized,
        "it is nested": value.is_nested,
    }
    for fault, is_so in faults.items():
        if is_so:
            raise ValueError(fault)
    size = value.numel() * value.element_size()
    stored = value.untyped_storage().nbytes()
    if size > stored:
        raise ValueError(f"it has {size:,} bytes, of which the file holds {stored:,}")
    return (value.data_ptr(), value.shape, value.stride(), value.dtype), size


def _array(value: Any) -> NDArray[Any]:
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, StoredArray):
        return value.array()
    import torch

    with_numpy = (torch.float16, torch.float32, torch.float64)
    value = torch.Tensor.detach(value)
    if value.is_floating_point() and value.dtype not in with_numpy:
        value = value.float()
    array: NDArray[Any] = value.resolve_conj().resolve_neg().numpy()
    return array
