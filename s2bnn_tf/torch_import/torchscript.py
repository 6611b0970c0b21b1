"""The tensors of a TorchScript archive, read without running its code.

Such an archive holds code beside a pickle of the module's attributes, whose tensors are files of
plain numbers in the same zip. Only these are read. Every name in the pickle is replaced by a
stand-in of ours, so that nothing of PyTorch, or of the file, is called.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TYPES = {
    "HalfStorage": "<f2",
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
}
_DEEPEST = 64  # modules within modules
_LARGEST_PICKLE = 64 * 2**20  # bytes


class Module:
    """Stands in for a module: its attributes, by name."""

    attributes: dict[str, Any]

    def __init__(self, *parts: object):
        self.attributes = {}

    def __setstate__(self, state: object) -> None:
        if isinstance(state, dict):
            self.attributes = {str(name): value for name, value in state.items()}


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: str
    count: int


class _Reader(pickle._Unpickler):  # in Python, whose memo takes no more memory than the file
    """Reads a pickle with stand-ins for every name."""

    def __init__(self, content: bytes, archive: zipfile.ZipFile, root: str):
        super().__init__(io.BytesIO(content))
        self._archive, self._root = archive, root

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _TYPES:
            return _TYPES[name]
        if module.startswith("__torch__"):
            return Module
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self._tensor
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        if module == "torch.jit._pickle":
            return list
        raise pickle.UnpicklingError(f"it wants to execute code ({module}.{name})")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, count = pid
        if kind != "storage" or dtype not in _TYPES.values():
            raise ValueError("it has a storage of a kind that is not known")
        return _Storage(str(key), dtype, int(count))

    def _tensor(
        self, storage: _Storage, offset: int, shape: Any, strides: Any, *_: Any
    ) -> NDArray[Any]:
        data = self._archive.read(f"{self._root}/data/{storage.key}")
        values = np.frombuffer(data, storage.dtype)
        shape, strides = [int(n) for n in shape], [int(n) for n in strides]
        last = offset + sum((n - 1) * step for n, step in zip(shape, strides))
        whole = math.prod(shape) <= len(values)
        if min([offset, *shape, *strides], default=0) < 0 or last >= len(values) or not whole:
            raise ValueError("a tensor reaches beyond its numbers")
        steps = [step * values.itemsize for step in strides]
        return np.lib.stride_tricks.as_strided(values[offset:], shape, steps, writeable=False)


def is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript archive."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        names = [name.partition("/")[2] for name in archive.namelist()]
    return "constants.pkl" in names and "data.pkl" in names


def read_torchscript(path: Path) -> dict[str, NDArray[Any]]:
    """Read the tensors of a TorchScript archive by their names, as `state_dict` has them.

    Args:
        path: The file, whose sizes were checked.

    Raises:
        pickle.UnpicklingError: If it names anything but modules and tensors.
        Exception: If it is damaged; nearly any.
    """
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        root = next(n.partition("/")[0] for n in names if n.partition("/")[2] == "data.pkl")
        member = archive.getinfo(f"{root}/data.pkl")
        if member.file_size > _LARGEST_PICKLE:
            raise ValueError("its list of tensors is too long")
        content = _Reader(archive.read(member), archive, root).load()
    found: dict[str, NDArray[Any]] = {}
    _collect(content, "", found, 0)
    return found


def _collect(value: Any, name: str, found: dict[str, NDArray[Any]], depth: int) -> None:
    if depth > _DEEPEST:
        raise ValueError("its modules are too deep")
    if isinstance(value, Module):
        for key, inner in value.attributes.items():
            _collect(inner, f"{name}.{key}" if name else key, found, depth + 1)
    elif isinstance(value, np.ndarray):
        found[name] = value
