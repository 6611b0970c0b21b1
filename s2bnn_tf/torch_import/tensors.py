"""The tensors of a checkpoint, with an account of what became of each."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from s2bnn_tf.errors import UserError

_NAMED = 4  # names in a message


class TensorAccount:
    """Named arrays, each to be used exactly once or ignored for a reason.

    What is missing, misshapen or left over is collected, so that `close` can name all.

    Args:
        tensors: By name, of any number type.

    Attributes:
        ignored: By reason, the names of the tensors that are not needed.
        used: How many were.
    """

    def __init__(self, tensors: Mapping[str, np.ndarray]):
        self._left = dict(tensors)
        self._missing: list[str] = []
        self._misshapen: list[str] = []
        self.ignored: dict[str, list[str]] = {}
        self.used = 0

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def names(self, prefix: str = "") -> list[str]:
        """Names that begin so and were not used yet."""
        return [name for name in self._left if name.startswith(prefix)]

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor that was not used yet."""
        return self._left[name].shape

    def take(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Use a tensor; zeros where it is missing or misshapen, which `close` tells."""
        tensor = self._left.pop(name, None)
        if tensor is None:
            self._missing.append(name)
        elif tensor.shape != shape:
            self._misshapen.append(f"{name} is {_shape(tensor.shape)} and not {_shape(shape)}")
        else:
            self.used += 1
            return tensor
        return np.zeros(shape)

    def take_whole(self, name: str) -> np.ndarray:
        """Use a tensor as it is.

        Raises:
            KeyError: if there is none of that name.
        """
        self.used += 1
        return self._left.pop(name)

    def ignore(self, prefix: str, reason: str) -> None:
        """Leave out the tensors whose names begin so."""
        self._ignore(self.names(prefix), reason)

    def ignore_suffix(self, suffix: str, reason: str) -> None:
        """Leave out the tensors whose names end so."""
        self._ignore([name for name in self._left if name.endswith(suffix)], reason)

    def close(self, what: str) -> None:
        """Check that all went into the network.

        Args:
            what: The network, in words.

        Raises:
            UserError: if a tensor is missing, misshapen or left over; the first few are named.
        """
        faults = [
            ("lacks", self._missing),
            ("has the wrong shape for", self._misshapen),
            ("has more than", list(self._left)),
        ]
        told = [f"it {verb} {what}: {_few(names)}" for verb, names in faults if names]
        if told:
            raise UserError(
                f"The file does not fit, and nothing was imported: {'; '.join(told)}. "
                "Name the file that its authors published, or the right --architecture."
            )

    def _ignore(self, names: list[str], reason: str) -> None:
        for name in names:
            del self._left[name]
            self.ignored.setdefault(reason, []).append(name)


def _few(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a scalar"
