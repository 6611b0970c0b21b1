"""Vectors of images in files that other programs read: `.npz`, `.npy` and `.parquet`."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from s2bnn_tf.errors import ConfigError
from s2bnn_tf.evaluation.arrays import FloatArray
from s2bnn_tf.files import replaced, write_arrays

_ROWS = 65_536  # of a group in a .parquet, which is read at once


def check_vector_file(path: Path) -> None:
    """Check that `write_vectors` can write a file of this name, before long work.

    Raises:
        ConfigError: If its ending is of no kind that is written, or pyarrow is missing.
    """
    if path.suffix not in _WRITERS:
        endings = ", ".join(f"*{ending}" for ending in _WRITERS)
        raise ConfigError(f"{path} cannot be written; the output is named {endings}.")
    if path.suffix == ".parquet" and find_spec("pyarrow") is None:
        raise ConfigError("A .parquet file needs pyarrow: pip install 's2bnn_tf[parquet]'.")


def write_vectors(path: Path, paths: list[str], arrays: dict[str, FloatArray]) -> list[Path]:
    """Write vectors and the paths of their images, whole or not at all.

    - `.npz`: the array `paths` and each array by its name.
    - `.npy`: the last array alone, which `numpy.load(path, mmap_mode="r")` maps, with a list of the
      paths beside it, `NAME.paths.json`.
    - `.parquet`: a column `path`, and a column of lists of N numbers for each array.

    Args:
        path: The file, replaced with what is beside it.
        paths: N paths.
        arrays: Arrays `(N, D)`, float32.

    Returns:
        The files that were written.

    Raises:
        ConfigError: As `check_vector_file`.
        OSError: If a file cannot be written.
    """
    check_vector_file(path)
    files = [path] if path.suffix != ".npy" else [path, path.with_suffix(".paths.json")]
    with replaced(*files) as partials:
        _WRITERS[path.suffix](list(partials), paths, arrays)
    return files


def _write_npz(files: list[Path], paths: list[str], arrays: dict[str, FloatArray]) -> None:
    write_arrays(files[0], {"paths": np.array(paths, np.str_), **arrays})


def _write_npy(files: list[Path], paths: list[str], arrays: dict[str, FloatArray]) -> None:
    with files[0].open("wb") as stream:
        np.save(stream, np.ascontiguousarray(list(arrays.values())[-1]))
    files[1].write_text(json.dumps(paths), "ascii")  # names may hold bytes that are not UTF-8


def _write_parquet(files: list[Path], paths: list[str], arrays: dict[str, FloatArray]) -> None:
    import pyarrow
    from pyarrow import parquet

    names = [path.encode(errors="backslashreplace").decode() for path in paths]
    columns: dict[str, Any] = {"path": pyarrow.array(names, pyarrow.string())}
    for name, values in arrays.items():
        flat = pyarrow.array(np.ascontiguousarray(values).reshape(-1))
        columns[name] = pyarrow.FixedSizeListArray.from_arrays(flat, values.shape[1])
    parquet.write_table(pyarrow.table(columns), files[0], row_group_size=_ROWS)


_WRITERS: dict[str, Callable[[list[Path], list[str], dict[str, FloatArray]], None]] = {
    ".npz": _write_npz,
    ".npy": _write_npy,
    ".parquet": _write_parquet,
}
