"""`fit` on photographs that installed packages ship: from nothing to a report in minutes."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from s2bnn_tf.demo_pictures import cut_photographs
from s2bnn_tf.errors import CheckpointError
from s2bnn_tf.pipeline import Options, check_output_dir, run_fit
from s2bnn_tf.progress import Progress

# The steps are fixed, so that the numbers depend on the processor's arithmetic and not its speed.
_OPTIONS = Options(minutes=4, size="medium", overrides=("steps=50", "data.batch_size=32"))


def run_demo(output_dir: Path, *, progress: Progress | None = None) -> dict[str, Any]:
    """Cut the photographs into pictures, and fit an encoder to them; the same call resumes.

    Args:
        output_dir: The directory for everything that `run_fit` writes. The pictures are beside
            it, in a folder whose name ends in `-images`.
        progress: Called with lines for the user.

    Returns:
        What `run_fit` returns.

    Raises:
        CheckpointError: If the pictures cannot be written.
        DataError: If a package that ships photographs is not installed.
        UserError: As `run_fit`.
    """
    check_output_dir(output_dir)
    images = output_dir.with_name(f"{output_dir.name}-images")
    if not images.exists():
        try:
            _cut(images)
        except OSError as error:
            raise CheckpointError(
                f"Cannot write to {images}: {error.strerror}; choose another --output-dir."
            ) from error
    return run_fit(images, output_dir, _OPTIONS, timed=False, progress=progress)


def _cut(images: Path) -> None:
    """Write the pictures beside their place first, so that the folder is whole or missing."""
    images.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".", suffix=f"-{images.name}", dir=images.parent))
    try:
        cut_photographs(partial)
        partial.chmod(0o755)
        os.replace(partial, images)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
