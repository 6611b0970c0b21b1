"""What went wrong with a file, in the operating system's words."""

from __future__ import annotations

import pytest
import tensorflow as tf

from s2bnn_tf.errors import file_reason


def test_python_and_tensorflow_say_the_same_of_the_same_file(tmp_path):
    """Without the names of operations, devices and files that TensorFlow adds."""
    with pytest.raises(OSError) as python:
        tmp_path.write_text("a folder")
    with pytest.raises(tf.errors.OpError) as tensorflow:
        tf.io.write_file(str(tmp_path), "a folder")
    assert file_reason(python.value) == file_reason(tensorflow.value) == "Is a directory"
