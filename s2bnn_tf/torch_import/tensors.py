"""The tensors of a checkpoint, and an account of how each of them was used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.errors import ModelError
from s2bnn_tf.torch_import.words import few, shown

_LARGEST = float(np.finfo(np.float32).max)
_NOT_FINITE = "values that are not finite numbers"


class TensorAccount:
    """Named arrays, each to be used exactly once or ignored for a reason.

    It collects the tensors that are missing, misshapen, left over or no weights, and `close`
    reports them together.

    Args:
        tensors: The arrays by name, of any number type.

    Attributes:
        ignored: The names of the tensors that are not needed, by reason.
        used: The number of tensors that were used.
    """

    def __init__(self, tensors: Mapping[str, NDArray[Any]]):
        self._left = dict(tensors)
        self._missing: list[str] = []
        self._misshapen: list[str] = []
        self._not_finite: list[str] = []
        self.ignored: dict[str, list[str]] = {}
        self.used = 0

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def names(self, prefix: str = "") -> list[str]:
        """The names with this prefix that are neither used nor ignored yet."""
        return [name for name in self._left if name.startswith(prefix)]

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor that is neither used nor ignored yet."""
        return self._left[name].shape

    def take(self, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
        """Use a tensor of weights; if it cannot be, return zeros and let `close` report it."""
        tensor = self._left.pop(name, None)
        if tensor is None:
            self._missing.append(name)
        elif tensor.shape != shape:
            found = f"{describe_shape(tensor.shape)} and not {describe_shape(shape)}"
            self._misshapen.append(f"{shown(name)} is {found}")
        elif not _is_finite(tensor):
            self._not_finite.append(name)
        else:
            self.used += 1
            return tensor.astype(np.float32) if tensor.dtype == np.float16 else tensor
        return np.zeros(shape)

    def take_whole(self, name: str) -> NDArray[Any]:
        """Use a tensor of any shape.

        Raises:
            KeyError: If there is no tensor of that name.
            ModelError: If it holds something else than finite numbers.
        """
        tensor = self._left.pop(name)
        if not _is_finite(tensor):
            raise ModelError(f"{shown(name)} holds {_NOT_FINITE}.")
        self.used += 1
        return tensor

    def ignore(self, prefix: str, reason: str) -> None:
        """Ignore the tensors whose names have this prefix."""
        self.ignore_names(self.names(prefix), reason)

    def ignore_others(self, prefixes: tuple[str, ...], reason: str) -> None:
        """Ignore the tensors whose names have none of these prefixes."""
        self.ignore_names([name for name in self._left if not name.startswith(prefixes)], reason)

    def ignore_names(self, names: Iterable[str], reason: str) -> None:
        """Ignore the tensors of these names, as far as they are neither used nor ignored yet."""
        for name in names:
            if self._left.pop(name, None) is not None:
                self.ignored.setdefault(reason, []).append(name)

    def close(self, what: str) -> None:
        """Check that every tensor was used or ignored.

        Args:
            what: The name of the network, for the message.

        Raises:
            ModelError: If tensors are missing, misshapen, left over or not finite; it names the
                first few.
        """
        faults = [
            ("lacks", self._missing),
            ("has the wrong shape for", self._misshapen),
            ("has more than", list(self._left)),
            (f"has {_NOT_FINITE} for", self._not_finite),
        ]
        found = [f"it {verb} {what}: {few(names)}" for verb, names in faults if names]
        if found:
            raise ModelError(
                f"The file does not fit, and nothing was imported: {'; '.join(found)}. "
                "Name the file that its authors published, or the right --architecture."
            )


def describe_shape(shape: tuple[int, ...]) -> str:
    """A shape as messages show it: `64x3x7x7`."""
    return "x".join(map(str, shape)) or "a scalar"


def _is_finite(tensor: NDArray[Any]) -> bool:
    """Whether all values are real numbers within the range of float32."""
    if tensor.dtype.kind not in "iuf":
        return False
    # By maximum and minimum, which need no memory; both are NaN if any value is.
    return tensor.size == 0 or bool(tensor.max() <= _LARGEST and tensor.min() >= -_LARGEST)
