"""Reading one image file, with a plain reason where it cannot be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from s2bnn_tf.data.pictures import decode, failure_reason, read_file
from s2bnn_tf.errors import DataError


def load_image(path: str | Path) -> NDArray[np.uint8]:
    """Read one image file as upright RGB; `pictures.decode` says how.

    Args:
        path: A JPEG, PNG, BMP, GIF, WebP, TIFF or AVIF file, whatever its name.

    Returns:
        RGB image, uint8 `(H, W, 3)`.

    Raises:
        DataError: If the file cannot be read, with the reason.
    """
    try:
        return decode(read_file(path))
    except Exception as error:  # a broken file can raise nearly anything inside a decoder
        raise DataError(f"Cannot read the image {path}: {failure_reason(error)}.") from error
