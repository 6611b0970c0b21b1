"""The tensors of a checkpoint, and an account of how each of them was used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.errors import ModelError

_NAMED = 4  # how many tensors a message names


class TensorAccount:
    """Named arrays, each to be used exactly once or ignored for a reason.

    It collects the tensors that are missing, misshapen or left over, and `close` reports them
    together.

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
        """Use a tensor; if it is missing or misshapen, return zeros and let `close` report it."""
        tensor = self._left.pop(name, None)
        if tensor is None:
            self._missing.append(name)
        elif tensor.shape != shape:
            self._misshapen.append(f"{name} is {_shape(tensor.shape)} and not {_shape(shape)}")
        else:
            self.used += 1
            return tensor
        return np.zeros(shape)

    def take_whole(self, name: str) -> NDArray[Any]:
        """Use a tensor of any shape.

        Raises:
            KeyError: If there is no tensor of that name.
        """
        self.used += 1
        return self._left.pop(name)

    def ignore(self, prefix: str, reason: str) -> None:
        """Ignore the tensors whose names have this prefix."""
        for name in self.names(prefix):
            del self._left[name]
            self.ignored.setdefault(reason, []).append(name)

    def close(self, what: str) -> None:
        """Check that every tensor was used or ignored.

        Args:
            what: The name of the network, for the message.

        Raises:
            ModelError: If tensors are missing, misshapen or left over; it names the first few.
        """
        faults = [
            ("lacks", self._missing),
            ("has the wrong shape for", self._misshapen),
            ("has more than", list(self._left)),
        ]
        found = [f"it {verb} {what}: {_few(names)}" for verb, names in faults if names]
        if found:
            raise ModelError(
                f"The file does not fit, and nothing was imported: {'; '.join(found)}. "
                "Name the file that its authors published, or the right --architecture."
            )


def _few(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a scalar"
