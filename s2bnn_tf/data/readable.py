"""Which images of a newly opened source can be read."""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

import numpy as np

from s2bnn_tf.data.decoded_source import DecodedSource
from s2bnn_tf.data.pictures import failure_reason
from s2bnn_tf.errors import DataError

logger = logging.getLogger(__name__)

_NAMED_IN_WARNING = 3

Source = TypeVar("Source", bound=DecodedSource)


def keep_readable(source: Source) -> Source:
    """Measure all images and keep those whose headers can be read; one warning names the others.

    Args:
        source: The images. Its sizes need not be known.

    Returns:
        The readable images, with their sizes.

    Raises:
        DataError: If no image can be read.
    """

    def size_or_none(index: int) -> tuple[int, int] | None:
        try:
            return source.measure(index)
        except Exception as error:  # noqa: BLE001  a broken file can raise nearly anything
            source.note_failure(index, failure_reason(error))
            return None

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        sizes = list(pool.map(size_or_none, range(len(source))))
    kept = [i for i, size in enumerate(sizes) if size is not None]
    measured = np.array([sizes[i] for i in kept], dtype=np.int32).reshape(-1, 2)
    opened = replace(source.select(kept), sizes=measured)
    require_one_readable(opened)
    if source.unreadable:
        logger.warning(_skipped(source))
    return opened


def require_one_readable(source: DecodedSource) -> None:
    """Decode images until one succeeds, since a header does not show that a file is truncated.

    Raises:
        DataError: If no image can be read.
    """
    for index in range(len(source)):
        try:
            source.decode(index)
            return
        except Exception as error:  # noqa: BLE001  a broken file can raise nearly anything
            source.note_failure(index, failure_reason(error))
    name, reason = _failures(source)[0]
    raise DataError(
        f"None of the {len(source.unreadable)} {source.split} images in {source.name} can be read "
        f"({name}: {reason}); replace them."
    )


def _skipped(source: DecodedSource) -> str:
    failures = _failures(source)
    named = ", ".join(f"{name} ({reason})" for name, reason in failures[:_NAMED_IN_WARNING])
    more = len(failures) - _NAMED_IN_WARNING
    rest = f" and {more} more" if more > 0 else ""
    return f"Skipped {len(failures)} of {len(source)} images in {source.name}: {named}{rest}."


def _failures(source: DecodedSource) -> list[tuple[str, str]]:
    return sorted((str(name), reason) for name, reason in source.unreadable.items())
