"""The name of the space that a teacher's vectors are in, which those of its students share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from s2bnn_tf.config import TeacherConfig
from s2bnn_tf.files import sha256, write_json
from s2bnn_tf.reading import Field, Text, read_json
from s2bnn_tf.runs import RunDirectory
from s2bnn_tf.teachers.cache import is_published, teacher_run

_RECORD: dict[str, Field] = {"space": Text()}


def teacher_space(teacher: TeacherConfig) -> str | None:
    """Name the space of a teacher's vectors by the SHA-256 of its weights.

    The name of an output other than the usual features follows it, since that is another space.
    An imported network is named by the file that it came from, so that it is the same on every
    machine.

    Args:
        teacher: The teacher, as in a recipe.

    Returns:
        The name; None for a teacher that is no file, such as a function, or that is not there, and
        for two of them.
    """
    if teacher.beside is not None:
        return None
    weights = teacher.weights or ""
    output = "features" if teacher.output == "embedding" else teacher.output
    run = RunDirectory(teacher_run(weights) if is_published(weights) else weights)
    if teacher.backbone is None and run.exists():
        if teacher.output == "embedding" and run.config.student.head != "none":
            output = "embedding"
        digest = _digest_of_run(run)
    elif Path(weights).is_file():
        digest = sha256(Path(weights))
    elif teacher.backbone is not None and weights:
        digest = f"keras.applications.{teacher.backbone} {weights}"
    else:
        digest = None
    if digest is None or output == "features":
        return digest
    return f"{digest} {output}"


def _digest_of_run(run: RunDirectory) -> str | None:
    try:
        imported = read_json(run.imported_path, {"sha256": Text()}, cure="import the file again")
        return str(imported["sha256"])
    except FileNotFoundError:
        return sha256(run.weights_path) if run.weights_path.is_file() else None


def write_space(run: RunDirectory, teacher: TeacherConfig) -> None:
    """Write in the run directory of a student in which space its teacher's vectors are."""
    space = teacher_space(teacher)
    if space is not None:
        write_json(run.teacher_path, {"space": space})


def read_space(run: RunDirectory) -> str | None:
    """Read in which space the teacher's vectors are that the student of a run learned.

    Returns:
        The name; None if there is no teacher, or none that can be named.

    Raises:
        CheckpointError: If the record is damaged.
    """
    try:
        found: dict[str, Any] = read_json(run.teacher_path, _RECORD, cure="delete it")
        return str(found["space"])
    except FileNotFoundError:  # of an earlier version
        teacher = run.config.teacher
        return None if teacher is None else teacher_space(teacher)
