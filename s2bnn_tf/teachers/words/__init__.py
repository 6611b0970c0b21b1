"""Classes named in words: lists, text encoders, and the file that a device takes."""

from s2bnn_tf.teachers.words.lists import EVERYDAY, Entry, read_list
from s2bnn_tf.teachers.words.make import in_words, make_words, read_pictures, read_words
from s2bnn_tf.teachers.words.vectors import WordVectors, read_vectors
from s2bnn_tf.teachers.words.write import write_words

__all__ = [
    "EVERYDAY",
    "Entry",
    "WordVectors",
    "in_words",
    "make_words",
    "read_list",
    "read_pictures",
    "read_vectors",
    "read_words",
    "write_words",
]
