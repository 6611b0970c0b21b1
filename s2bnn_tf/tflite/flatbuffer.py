"""What is wrong with the bytes of a `.tflite`."""

from __future__ import annotations


class FlatbufferError(ValueError):
    """The bytes are not a complete, consistent TensorFlow Lite model.

    The message is a clause without a period, such as "it lacks the identifier TFL3".
    """
