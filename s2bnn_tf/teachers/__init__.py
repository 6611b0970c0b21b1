"""The networks that guide a student: a run, a `.keras` file, `keras.applications`, a function."""

import s2bnn_tf.checked  # noqa: F401
from s2bnn_tf.teachers.given import give_teacher, teacher_failure
from s2bnn_tf.teachers.load_teacher import load_teacher

__all__ = ["give_teacher", "load_teacher", "teacher_failure"]
