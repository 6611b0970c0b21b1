"""What the weights of a student begin with: what the user names, the starter, or nothing."""

from __future__ import annotations

import json
from pathlib import Path

from s2bnn_tf.config import Config
from s2bnn_tf.errors import CheckpointError
from s2bnn_tf.pipeline.options import Options
from s2bnn_tf.pipeline.storing import DIMENSIONS, centered
from s2bnn_tf.starter import STARTER, copy_starter, is_starter
from s2bnn_tf.teachers import find_starter, locate_model

RANDOM = "random"  # what the user names to begin with nothing; a path of that name comes first
# The starter's network. Its stem is medium, and the small one has the same layers.
_BACKBONE, _WIDTH, _STEMS, _CHANNELS = "reactnet", 0.25, ("small", "medium"), 3
_COPY = (STARTER, "starter.tflite")  # in the cache, which can be deleted at any time


def begin_with(init: str | None, student: Config) -> tuple[str, ...]:
    """The change to a student's recipe that names what its weights begin with.

    By default that is the starter, where the student has its network: docs/results.md has what
    that gains.

    Args:
        init: What the user named; None to choose.
        student: The recipe.

    Returns:
        The change; empty to begin with random weights.

    Raises:
        CheckpointError: If what the user named does not exist.
    """
    if init is None:
        return _begin_as(find_starter()) if _takes_starter(student) else ()
    if init == RANDOM and not Path(init).exists():
        return ()
    return _begin_as(locate_model(init))


def beside_own_teacher(options: Options, student: Config) -> tuple[str, ...]:
    """The changes with which a student learns from the starter beside a teacher of its own.

    A teacher that has seen only the folder, and for minutes, knows less of pictures in general:
    from it alone, a student that begins as the starter forgets some of what it could do.

    Args:
        options: What the user asked for.
        student: The recipe of the student's first step.

    Returns:
        The changes; none where the user has chosen another beginning, a teacher or an objective.
    """
    chosen = ("teacher.", "objective.", "student.init_from=")
    given = any(change.startswith(chosen) for change in options.overrides)
    other = options.init is not None and not is_starter(options.init)
    if other or options.teacher or given or not _takes_starter(student):
        return ()
    width = f"student.embedding_dim={DIMENSIONS}"
    return (f"teacher.beside={json.dumps(str(find_starter()))}", *centered(()), width)


def restore_starter(config: Config) -> None:
    """Copy the starter again to where a recipe has it, if the cache was deleted meanwhile.

    Raises:
        CheckpointError: As from `find_starter`.
    """
    beside = None if config.teacher is None else config.teacher.beside
    for named in (config.student.init_from, beside):
        if named is not None and _is_copy(named) and not Path(named).exists():
            copy_starter(Path(named).parent)


def begins_with_starter(student: Config) -> bool:
    """Whether a student's weights begin as the starter's."""
    return _is_copy(student.student.init_from or "")


def describe_beginning(init: str | None, student: Config) -> str:
    """What a student begins with, in a few words, and why not with the starter if it could.

    Args:
        init: What the user named; None if that was chosen.
        student: The recipe.
    """
    if begins_with_starter(student):
        return "the starter"
    if student.student.init_from is not None:
        return student.student.init_from
    if init is None and _has_starters_network(student) and (missing := _missing_starter()):
        return f"random weights. {missing.rstrip('.')}"
    return "random weights"


def describe_beside(student: Config) -> str:
    """The second teacher of a student, for the end of a phrase about the first; empty without."""
    beside = None if student.teacher is None else student.teacher.beside
    if beside is None:
        return ""
    return f", and {'the starter' if _is_copy(beside) else beside} beside it"


def _is_copy(named: str) -> bool:
    return Path(named).parts[-2:] == _COPY


def _begin_as(model: Path) -> tuple[str, ...]:
    return (f"student.init_from={json.dumps(str(model))}",)


def _takes_starter(config: Config) -> bool:
    """Whether a student has the starter's network, and the starter is here."""
    return _has_starters_network(config) and _missing_starter() is None


def _has_starters_network(config: Config) -> bool:
    student = config.student
    return (
        student.backbone == _BACKBONE
        and student.width == _WIDTH
        and student.stem in _STEMS
        and not student.reverse_input
        and config.data.channels == _CHANNELS
    )


def _missing_starter() -> str | None:
    """Why the starter is not here; None if it is."""
    try:
        find_starter()
    except CheckpointError as error:
        return str(error)
    return None
