"""Weights in HDF5 files, which are checked before Keras reads them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py

from s2bnn_tf.reading import check_unpacked, open_regular

_MOST_OBJECTS = 1_000_000
_DEEPEST = 100  # levels of groups


def count_weights(path: str | Path) -> int:
    """Count the numbers in a weights file, and check that reading it takes no other resources.

    An HDF5 file can declare arrays that are far larger than itself, and arrays and groups that
    are in other files. Keras reads each array as a whole before it compares shapes.

    Args:
        path: A file written by `model.save_weights("x.weights.h5")` or `"x.h5"`.

    Returns:
        The sum of the sizes of all arrays.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be read, or is no HDF5 file.
        ValueError: If an array is not plain numbers in this file; the message is the reason.
    """
    with open_regular(path) as file, h5py.File(file, "r") as content:
        arrays = _arrays(content)
        stored = os.fstat(file.fileno()).st_size
    check_unpacked("the sum of its arrays", sum(size for _, size in arrays), stored)
    return sum(count for count, _ in arrays)


def _arrays(root: Any) -> list[tuple[int, int]]:
    """The number of elements and the bytes of every array, each once."""
    found, seen, groups = [], set(), [(root, 0)]
    while groups:
        group, depth = groups.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"{name} is a link to another place")
            value = group[name]
            address = h5py.h5o.get_info(value.id).addr
            if address in seen:
                continue
            seen.add(address)
            if len(seen) > _MOST_OBJECTS or depth > _DEEPEST:
                raise ValueError("it holds more groups than any network")
            if isinstance(value, h5py.Group):
                groups.append((value, depth + 1))
            else:
                _check_array(name, value)
                found.append((value.size, value.nbytes))
    return found


def _check_array(name: str, value: Any) -> None:
    if not isinstance(value, h5py.Dataset) or value.dtype.kind not in "fiub":
        raise ValueError(f"{name} holds no numbers")
    if value.external or value.is_virtual:
        raise ValueError(f"{name} is kept in another file")
