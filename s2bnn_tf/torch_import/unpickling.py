"""PyTorch files opened without executing any code in them, and plain data passed over."""

from __future__ import annotations

import errno
import os
import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.errors import CheckpointError
from s2bnn_tf.reading import open_regular
from s2bnn_tf.torch_import.torchscript import is_torchscript, read_torchscript

_ZIP_START = b"PK\x03\x04"
_REASON_LENGTH = 200


class Unused:
    """Stands in for data that is not needed: options, paths, and numbers of NumPy.

    It takes whatever the file has for it, and does nothing with it.
    """

    def __new__(cls, *parts: object) -> Unused:
        return super().__new__(cls)

    def __init__(self, *parts: object):
        pass

    def __setstate__(self, state: object) -> None:
        pass


class StoredType:
    """Stands in for a NumPy number type while a file is read.

    Attributes:
        code: NumPy's code, such as `f4`.
        order: The order of its bytes, `<` or `>`, or `|` if it has one byte.
    """

    code: object = None
    order: object = "|"

    def __new__(cls, code: object = None, *others: object) -> StoredType:
        stored = super().__new__(cls)
        stored.code = code
        return stored

    def __init__(self, *parts: object):
        pass

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]


class StoredArray:
    """Stands in for a NumPy array while a file is read; `array` makes it one."""

    state: tuple[Any, ...] = ()

    def __new__(cls, *parts: object) -> StoredArray:
        return super().__new__(cls)

    def __init__(self, *parts: object):
        pass

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    @property
    def is_numeric(self) -> bool:
        """Whether it holds numbers, and not text or objects."""
        stored = self.state[2] if len(self.state) == 5 else None
        return (
            isinstance(stored, StoredType)
            and re.fullmatch(r"[biufc][0-9]{1,2}", str(stored.code)) is not None
            and stored.order in ("<", ">", "=", "|")
        )

    def array(self) -> NDArray[Any]:
        """The array, as a view of the bytes that the file has for it.

        Raises:
            ValueError, TypeError: If shape, type and bytes do not belong together.
        """
        _, shape, stored, by_columns, data = self.state
        values = np.frombuffer(data, np.dtype(f"{stored.order}{stored.code}"))
        return values.reshape(shape[::-1]).T if by_columns else values.reshape(shape)


def _plain_dict(*factory_and_items: object) -> dict[Any, Any]:
    """Stands in for a defaultdict, whose items a file adds afterwards."""
    return {}


# Stand-ins for the types that a checkpoint may hold in addition to its weights, by their names in
# the file. None of them is NumPy's or Python's own, so that no file decides what is computed.
_PLAIN: dict[str, Any] = {
    "argparse.Namespace": Unused,
    "collections.defaultdict": _plain_dict,
    "torch.torch_version.TorchVersion": Unused,
    # The usual factories of a defaultdict.
    **{f"builtins.{name}": Unused for name in ("bool", "dict", "float", "int", "list", "str")},
    **{
        f"{module}.{name}": Unused
        for module in ("pathlib", "pathlib._local")
        for name in (
            *("Path", "PosixPath", "WindowsPath"),
            *("PurePath", "PurePosixPath", "PureWindowsPath"),
        )
    },
    "numpy.dtype": StoredType,
    "numpy.ndarray": StoredArray,
    **{
        f"{module}.multiarray.{name}": stand_in
        for module in ("numpy.core", "numpy._core")
        for name, stand_in in (("_reconstruct", StoredArray), ("scalar", Unused))
    },
}


def read_torch(path: Path) -> Any:
    """Read a file in PyTorch's zip or legacy format, without executing any code in it.

    Args:
        path: The file.

    Returns:
        What it holds. Where it has a NumPy array, that is a `StoredArray`, and where it has
        other plain data that is not Python's own, an `Unused`.

    Raises:
        CheckpointError: If PyTorch is missing, or the file is of another kind, damaged, or
            wants to execute code.
    """
    try:
        import torch
    except ImportError as error:
        raise CheckpointError(
            "Reading a PyTorch file needs PyTorch: pip install torch (or s2bnn_tf[torch]); "
            ".safetensors files are read without it."
        ) from error
    plain: list[Any] = [(stand_in, name) for name, stand_in in _PLAIN.items()]
    try:
        _check_archive(path)
        if is_torchscript(path):
            return read_torchscript(path)
        with torch.serialization.safe_globals(plain), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle's protocol, and about old storages
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        wanted = re.search(r"GLOBAL (\S+)|execute code \((\S+)\)", str(error))
        if wanted:
            name = (wanted[1] or wanted[2])[:_REASON_LENGTH]
            raise CheckpointError(
                f"{path} was not opened: it wants to execute code ({name}), "
                "and only files of plain tensors are read. If you trust it, save its state dict "
                "alone elsewhere."
            ) from error
        raise CheckpointError(
            f"{path} is not a whole PyTorch checkpoint, or holds more than plain tensors."
        ) from error
    except Exception as error:  # a damaged file raises almost any exception
        if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EIO, errno.EPERM):
            raise CheckpointError(f"Cannot read {path}: {error.strerror}.") from error
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise CheckpointError(
            f"{path} is not a whole PyTorch checkpoint ({reason[0][:_REASON_LENGTH]})."
        ) from error


def _check_archive(path: Path) -> None:
    """Check that a file in the zip format takes no more memory than its own size.

    PyTorch does not compress, so a member that is compressed, or members that overlap, come from
    elsewhere and can unpack to any size.

    Raises:
        ValueError: If it takes more.
        OSError: If it cannot be opened.
        zipfile.BadZipFile: If its directory is damaged.
    """
    with open_regular(path) as file:
        if file.read(len(_ZIP_START)) != _ZIP_START:
            return
        size = os.fstat(file.fileno()).st_size
        with zipfile.ZipFile(file) as archive:
            # The code of a TorchScript archive is compressed, and never read.
            members = [m for m in archive.infolist() if "/code/" not in m.filename]
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise ValueError("its parts are compressed, which PyTorch never does")
    unpacked = sum(member.file_size for member in members)
    if unpacked > size:
        raise ValueError(f"it unpacks to {unpacked:,} bytes, and has {size:,}")
