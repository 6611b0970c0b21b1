"""The networks that guide a student: a run, a published name, a file of Keras, a function."""

import s2bnn_tf.checked  # noqa: F401
from s2bnn_tf.teachers.cache import get_teacher, list_teachers, teacher_origin
from s2bnn_tf.teachers.given import give_teacher, teacher_failure
from s2bnn_tf.teachers.load_teacher import load_teacher
from s2bnn_tf.teachers.published import PUBLISHED, Published
from s2bnn_tf.teachers.space import read_space, teacher_space, write_space
from s2bnn_tf.teachers.words import (
    EVERYDAY,
    WordVectors,
    in_words,
    make_words,
    read_list,
    read_pictures,
    read_vectors,
    read_words,
    write_words,
)

__all__ = [
    "EVERYDAY",
    "PUBLISHED",
    "Published",
    "WordVectors",
    "get_teacher",
    "give_teacher",
    "in_words",
    "list_teachers",
    "load_teacher",
    "make_words",
    "read_list",
    "read_pictures",
    "read_space",
    "read_vectors",
    "read_words",
    "teacher_failure",
    "teacher_origin",
    "teacher_space",
    "write_space",
    "write_words",
]
