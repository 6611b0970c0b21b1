"""The networks that guide a student: a run, a `.keras` file or one of `keras.applications`."""

import s2bnn_tf.checked  # noqa: F401
from s2bnn_tf.teachers.load_teacher import load_teacher

__all__ = ["load_teacher"]
