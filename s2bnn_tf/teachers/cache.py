"""Published teachers on this machine: downloaded once, imported once, and kept as runs."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from s2bnn_tf.environment import cache_directory
from s2bnn_tf.errors import CheckpointError, ConfigError, UserError
from s2bnn_tf.files import sha256
from s2bnn_tf.locks import DirectoryLock
from s2bnn_tf.progress import Progress, show_progress
from s2bnn_tf.reading import Text, read_json
from s2bnn_tf.runs import RunDirectory, read_origin, write_origin
from s2bnn_tf.starter import STARTER, copy_starter
from s2bnn_tf.teachers.archive import weights_file
from s2bnn_tf.teachers.download import digest_of, download
from s2bnn_tf.teachers.published import PUBLISHED, Published, suggest_name
from s2bnn_tf.torch_import import import_torch

_FIELDS = {"files": Text()}  # of origin.json in the cache: the digest of what was imported


def find_starter() -> Path:
    """The starter in the cache, even where the working directory has a file of its name.

    Raises:
        CheckpointError: If it is not installed, or the cache cannot be written.
    """
    return copy_starter(cache_directory().absolute() / STARTER)


def teacher_run(name: str) -> Path:
    """The run directory of a published teacher, whether or not it is there."""
    return cache_directory() / "teachers" / name


def is_cached(name: str) -> bool:
    """Whether a published teacher is on this machine and imported."""
    return RunDirectory(teacher_run(name)).origin_path.is_file()


def get_teacher(name: str, progress: Progress = show_progress) -> RunDirectory:
    """Download and import a published teacher, unless it is there.

    Args:
        name: One of `PUBLISHED`.
        progress: Called with what is done.

    Returns:
        Its run directory in the cache.

    Raises:
        ConfigError: If there is no such name; the nearest one is offered.
        CheckpointError: If it cannot be downloaded, or its files are not what they were.
    """
    published = PUBLISHED.get(name)
    if published is None:
        known = suggest_name(name) or f"There are {', '.join(PUBLISHED)}."
        raise ConfigError(f"There is no published teacher named {name!r}. {known}")
    run = teacher_run(name)
    if not is_cached(name):
        downloads = cache_directory() / "downloads"
        with DirectoryLock(downloads, "download", "set S2BNN_CACHE", waiting=progress):
            if not is_cached(name):
                _get(published, run, progress)
    _check_untouched(run)
    return RunDirectory(run)


def teacher_origin(weights: str | None) -> dict[str, Any] | None:
    """Where a teacher was published: by its name, or by the run that it is.

    Args:
        weights: `teacher.weights`.

    Returns:
        As `read_origin`.
    """
    if weights is None:
        return None
    if is_published(weights):
        return read_origin(teacher_run(weights))
    return read_origin(weights) if RunDirectory(weights).exists() else None


def teacher_digest(weights: str | None) -> str:
    """A digest of the files of a teacher; that of its name where it has none.

    Args:
        weights: `teacher.weights`.
    """
    name = weights or ""
    run = RunDirectory(teacher_run(name) if is_published(name) else name)
    files = _files(run) if run.exists() else [Path(name)]
    digest = hashlib.sha256()
    for path in files:
        digest.update((sha256(path) if path.is_file() else name).encode())
    return digest.hexdigest()


def is_published(weights: str) -> bool:
    """Whether weights name a published network; a path of that name comes first."""
    return weights in PUBLISHED and not Path(weights).exists()


def _get(published: Published, run: Path, progress: Progress) -> None:
    path = cache_directory() / "downloads" / published.name / published.file_name
    digest = download(
        published.url, path, stated=published.sha256, md5=published.md5, progress=progress
    )
    begun = run.with_name(f"{run.name}.begun")
    for earlier in (begun, run):  # a directory without its origin was never finished
        if earlier.exists():
            shutil.rmtree(earlier)
    architecture = published.architecture
    try:
        with weights_file(path, published.member) as weights:
            record = import_torch(weights, begun, architecture=architecture, progress=progress)
    except UserError as error:
        raise CheckpointError(
            f"{published.name} cannot be imported: {str(error).rstrip('.')}. Delete {path} to "
            "download it again."
        ) from error
    facts = {**asdict(published), "sha256": digest, "imported": record["architecture"]}
    made = RunDirectory(begun)
    write_origin(made, {**facts, "files": digest_of(_files(made))})
    os.replace(begun, run)


def _check_untouched(run: Path) -> None:
    made = RunDirectory(run)
    known = read_json(made.origin_path, _FIELDS, cure=_cure(run))["files"]
    missing = [path for path in _files(made) if not path.is_file()]
    if missing or digest_of(_files(made)) != known:
        raise CheckpointError(
            f"{run} is not what was imported there: {_cure(run)}, and run the command again."
        )


def _files(run: RunDirectory) -> list[Path]:
    return [run.config_path, run.weights_path]


def _cure(run: Path) -> str:
    return f"delete {run}"


def list_teachers() -> list[dict[str, Any]]:
    """The facts about every published teacher, and whether it is on this machine.

    Returns:
        The attributes of `Published`, `size_mib`, about the size of the weights alone, and
        `cached`.
    """
    return [
        {
            **asdict(published),
            "size_mib": round(4e6 * published.parameters / 2**20),
            "cached": is_cached(published.name),
        }
        for published in PUBLISHED.values()
    ]
