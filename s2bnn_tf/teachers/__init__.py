"""The networks that guide a student: a run, a published name, a file, a function."""

import s2bnn_tf.checked  # noqa: F401
from s2bnn_tf.teachers.cache import get_teacher, list_teachers, teacher_origin
from s2bnn_tf.teachers.failures import teacher_failure, teacher_failures
from s2bnn_tf.teachers.given import give_teacher
from s2bnn_tf.teachers.load_teacher import load_teacher
from s2bnn_tf.teachers.network_encoder import NetworkEncoder
from s2bnn_tf.teachers.open_model import (
    locate_model,
    model_files,
    open_model,
    open_with_changes,
)
from s2bnn_tf.teachers.published import PUBLISHED, Published

__all__ = [
    "PUBLISHED",
    "NetworkEncoder",
    "Published",
    "get_teacher",
    "give_teacher",
    "list_teachers",
    "load_teacher",
    "locate_model",
    "model_files",
    "open_model",
    "open_with_changes",
    "teacher_failure",
    "teacher_failures",
    "teacher_origin",
]
