"""The networks that guide a student: a run, a `.keras` file, a network of `keras.applications`."""

from s2bnn_tf.teachers.loading import load_teacher

__all__ = ["load_teacher"]
