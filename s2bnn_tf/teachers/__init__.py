"""The networks that guide a student: a run, a published name, a file of Keras."""

from s2bnn_tf.teachers.cache import describe_source, get_teacher, list_teachers
from s2bnn_tf.teachers.load_teacher import load_teacher
from s2bnn_tf.teachers.published import PUBLISHED, Published

__all__ = [
    "PUBLISHED",
    "Published",
    "describe_source",
    "get_teacher",
    "list_teachers",
    "load_teacher",
]
