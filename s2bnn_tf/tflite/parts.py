"""The parts of a graph: tensors and operations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Tensor:
    """A tensor.

    Attributes:
        name: Its name.
        shape: Its shape.
        dtype: Its number type, or None if NumPy has no such type.
        constant: Its values if the file holds them, otherwise None.
        has_content: Whether the file holds its values, of whatever type.
        is_variable: Whether it keeps its values from one run to the next.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any] | None
    constant: NDArray[Any] | None
    has_content: bool
    is_variable: bool


@dataclass(frozen=True)
class Operation:
    """An operation.

    Attributes:
        name: Its name, such as "CONV_2D" or "LceBconv2d".
        inputs: Tensor indices; -1 for an optional input that is absent.
        outputs: Tensor indices.
        options: The options of an operation of Larq Compute Engine, empty for any other.
    """

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, int]
