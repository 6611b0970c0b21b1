"""Teachers that are functions of the calling program: `teacher.weights: python:NAME`.

A recipe cannot hold a function. It holds the name, and the program that trains gives the function
under that name first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from s2bnn_tf.data import IMAGENET_MEAN, IMAGENET_STD
from s2bnn_tf.errors import CheckpointError, ModelError
from s2bnn_tf.image_size import ImageSize, height_width
from s2bnn_tf.teachers.failures import note_failure, teacher_failure

keras = tf.keras

PREFIX = "python:"
TeacherFunction = Callable[[NDArray[np.uint8]], Any]

_GIVEN: dict[str, GivenTeacher] = {}


class GivenTeacher:
    """A function from images to features, which is checked whenever it is called.

    Args:
        name: What it is called in messages.
        function: From images `(N, H, W, 3)` uint8 to features `(N, D)`.
    """

    def __init__(self, name: str, function: TeacherFunction):
        self.name = name
        self.function = function

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        try:
            features = np.asarray(self.function(images), np.float32)
        except Exception as error:
            note_failure(error)
            raise
        if features.ndim != 2 or len(features) != len(images):
            failure = ModelError(
                f"teacher: {self.name} returns {features.shape} for {len(images)} images; "
                "expected (N, D), one row of features per image."
            )
            note_failure(failure)
            raise failure
        return features


def give_teacher(name: str, function: TeacherFunction) -> str:
    """Make a function available as a teacher in this process.

    Args:
        name: A name for the recipe.
        function: From images `(N, H, W, 3)`, RGB in uint8 of the size of the views, to features
            `(N, D)`, as anything that `numpy.asarray` takes. It is not trained, and called in one
            thread at a time.

    Returns:
        What `teacher.weights` has to be.
    """
    _GIVEN[name] = GivenTeacher(name, function)
    return PREFIX + name


def load_given(name: str, image_size: ImageSize) -> keras.Model:
    """Build a model that calls a given function.

    Args:
        name: The name that `give_teacher` had.
        image_size: The side of the images in pixels, or their height and width.

    Returns:
        A model from normalized images `(B, H, W, 3)` to features `(B, D)`.

    Raises:
        CheckpointError: If no function was given under this name.
        ModelError: If it fails, or returns something else.
    """
    if name not in _GIVEN:
        raise CheckpointError(
            f"teacher.weights: {PREFIX}{name} is a function of the Python program that began this "
            "run; resume with the same call of s2bnn_tf.fit there."
        )
    teacher = _GIVEN[name]
    height, across = height_width(image_size)
    try:
        width = teacher(np.zeros((2, height, across, 3), np.uint8)).shape[1]
    except Exception as error:
        teacher_failure()  # it is raised here
        if isinstance(error, ModelError):
            raise
        raise ModelError(
            f"teacher: {name} fails with 2 images ({type(error).__name__}: {error}); it takes "
            f"images (N, {height}, {across}, 3) of uint8."
        ) from error
    image = keras.Input((height, across, 3), name="image")
    return keras.Model(image, _Call(teacher, width)(image), name="given")


class _Call(keras.layers.Layer):
    """Give normalized images to a function, as the bytes that they were."""

    def __init__(self, teacher: GivenTeacher, width: int):
        super().__init__(trainable=False, dtype="float32", name="function")
        self.teacher = teacher
        self.width = width

    def call(self, images: tf.Tensor) -> tf.Tensor:
        std, mean = (tf.constant(v, tf.float32) * 255.0 for v in (IMAGENET_STD, IMAGENET_MEAN))
        pixels = tf.cast(tf.clip_by_value(tf.round(images * std + mean), 0, 255), tf.uint8)
        features = tf.numpy_function(self.teacher, [pixels], tf.float32)
        return tf.ensure_shape(features, (None, self.width))
