"""The networks that guide a student: a run, a published name, a file of Keras, a function."""

import s2bnn_tf.checked  # noqa: F401
from s2bnn_tf.teachers.cache import cache_directory, get_teacher, list_teachers, teacher_origin
from s2bnn_tf.teachers.given import give_teacher, teacher_failure
from s2bnn_tf.teachers.load_teacher import load_teacher
from s2bnn_tf.teachers.published import PUBLISHED, Published

__all__ = [
    "PUBLISHED",
    "Published",
    "cache_directory",
    "get_teacher",
    "give_teacher",
    "list_teachers",
    "load_teacher",
    "teacher_failure",
    "teacher_origin",
]
