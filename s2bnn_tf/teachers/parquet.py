"""The columns of a Parquet file as arrays, for features that a data frame holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.reading import ARRAY_LIMIT, check_unpacked, open_regular

# The columns, and the arrays that they are; `s2bnn embed` writes one path a row, in `path`.
_COLUMNS = {
    **{name: name for name in ("features", "embeddings", "paths", "sha256", "boxes", "flips")},
    "path": "paths",
}


def read_parquet(path: Path) -> dict[str, NDArray[Any]]:
    """Read the columns that a file of features may have.

    Args:
        path: The file. A column of lists of one length becomes an array of two dimensions.

    Raises:
        OSError: If pyarrow is not installed, or the file cannot be opened.
        ValueError: If it unpacks to far more than it has, or a column is something else.
    """
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise OSError(
            0, "reading it needs a package: pip install 's2bnn_tf[parquet]'", str(path)
        ) from error
    with open_regular(path) as file:
        opened = parquet.ParquetFile(file)
        said = opened.metadata
        groups = [said.row_group(number) for number in range(said.num_row_groups)]
        size = sum(group.total_byte_size for group in groups)
        if size > ARRAY_LIMIT:
            raise ValueError(f"it is larger than {ARRAY_LIMIT:,} bytes")
        check_unpacked("it", size, path.stat().st_size)
        names = [name for name in opened.schema_arrow.names if name in _COLUMNS]
        table = opened.read(columns=names)
    return {_COLUMNS[name]: _array(name, table.column(name).combine_chunks()) for name in names}


def _array(name: str, column: Any) -> NDArray[Any]:
    import pyarrow as pa

    if column.null_count:
        raise ValueError(f"{name} has empty cells")
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        values = column.flatten()
        if values.null_count or not len(column) or len(values) % len(column):
            raise ValueError(f"{name} has rows of different lengths, or empty cells")
        lengths = column.value_lengths() if hasattr(column, "value_lengths") else None
        if lengths is not None and len(lengths.unique()) > 1:
            raise ValueError(f"{name} has rows of different lengths")
        return _flat(values).reshape(len(column), -1)
    return _flat(column)


def _flat(column: Any) -> NDArray[Any]:
    import pyarrow as pa

    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return np.array(column.to_pylist(), np.str_)
    return np.asarray(column.to_numpy(zero_copy_only=False))
