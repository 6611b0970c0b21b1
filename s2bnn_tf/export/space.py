"""The space of the vectors that a `.tflite` returns: which runs have a teacher's, and its name."""

from __future__ import annotations

from s2bnn_tf.errors import ConfigError
from s2bnn_tf.runs import RunDirectory
from s2bnn_tf.teachers import read_space
from s2bnn_tf.tflite import append_metadata, read_tables, write_tables

METADATA = b"s2bnn_space"  # the name of the entry in the file


def ends_in_teachers_space(head: str) -> bool:
    """Whether the vectors of a head can be compared with those of the teacher."""
    return head.split("+")[0] == "teacher"


def space_of_run(run: RunDirectory) -> str | None:
    """Name the space of the teacher whose vectors the student of a run learned to predict.

    Returns:
        The name; None if the teacher has none, such as a function. The file then has a space of
        its own.

    Raises:
        ConfigError: If the run was not trained towards a teacher's vectors.
        CheckpointError: If its record of the teacher is damaged.
    """
    config = run.config
    objective = config.objective
    learned = objective.regression_weight > 0 or objective.words_weight > 0
    if config.teacher is None or not learned:
        raise ConfigError(
            f"{run.path} was not trained towards a teacher's features, so it has no head that "
            "ends in their space; train it with objective.regression_weight above 0, or convert "
            "it with --head projection."
        )
    if config.teacher.is_mapped:
        raise ConfigError(
            f"{run.path} was trained towards centered or reduced features, which are not in the "
            "teacher's space any more; train it with teacher.center=false, "
            "teacher.reduce_to=null and teacher.normalize=none, or convert it with --head "
            "projection."
        )
    return read_space(run)


def with_space(model: bytes, space: str) -> bytes:
    """Write the name of a space into the metadata of a `.tflite`."""
    tables = read_tables(model)
    append_metadata(tables, METADATA, space.encode())
    return write_tables(tables)
