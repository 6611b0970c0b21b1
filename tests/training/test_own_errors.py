"""A sentence of ours stays one, wherever in a traced step or in tf.data it is raised."""

from __future__ import annotations

import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf

from s2bnn_tf.data import open_source
from s2bnn_tf.data.numpy_op import numpy_op, plain_errors
from s2bnn_tf.errors import ConfigError, DataError, ModelError, UserError
from s2bnn_tf.objectives import register_objective
from s2bnn_tf.training import SGD, Pretrainer, pretrain

pytestmark = pytest.mark.both_sets

keras = tf.keras

SENTENCE = "The picture is upside down; turn it."


class Refuses(keras.layers.Layer):
    """A layer that refuses to be trained."""

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        if training:
            raise ModelError(SENTENCE)
        return images


@register_objective("refuses")
def refuses(query: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    for _ in range(1):
        if query.shape[-1]:
            raise ConfigError(SENTENCE)
    return tf.reduce_mean(query - target)


class RefusingStep(Pretrainer):
    """A step that refuses the pictures of these tests."""

    def train_step(self, views):
        if views[0].shape[1] == 8:
            raise DataError(SENTENCE)
        return super().train_step(views)


@pytest.mark.parametrize("place", ["layer", "objective", "step"])
def test_a_step_that_is_traced(place, make_encoder):
    student, teacher = make_encoder(0), make_encoder(1)
    if place == "layer":
        inner = keras.Sequential([Refuses(), student.backbone])
        student.backbone = keras.Sequential([inner])
    kind = RefusingStep if place == "step" else Pretrainer
    custom = {"custom": "refuses", "custom_weight": 1.0} if place == "objective" else {}
    pretrainer = kind(student=student, teacher=teacher, **custom)
    pretrainer.compile(optimizer=SGD(0.1))
    images = tf.random.normal((1, 4, 8, 8, 3))
    with pytest.raises(UserError) as error:
        pretrainer.fit(tf.data.Dataset.from_tensor_slices((images,)), verbose=0)
    assert str(error.value) == SENTENCE
    assert type(error.value) is {"layer": ModelError, "objective": ConfigError}.get(
        place, DataError
    )


def test_a_function_inside_tf_data():
    def fails(_):
        raise DataError(SENTENCE)

    def other(_):
        raise ZeroDivisionError(SENTENCE)

    def read(function):
        data = tf.data.Dataset.range(2).map(
            lambda i: numpy_op(function, lambda x: x, [i], tf.int64)
        )
        return list(data)

    with pytest.raises(DataError) as error, plain_errors():
        read(fails)
    assert str(error.value) == SENTENCE
    with pytest.raises(tf.errors.OpError, match="ZeroDivisionError"), plain_errors():
        read(other)  # and not the error before it


def test_an_error_of_an_earlier_dataset_that_comes_late_is_not_taken_for_this_one():
    begun, ended = threading.Event(), threading.Event()

    def late(_):
        begun.set()
        ended.wait(60)
        raise DataError("The earlier pictures are upside down.")

    def other(_):
        ended.set()
        while thread.is_alive():  # until the other one has been raised
            thread.join(60)
        raise ZeroDivisionError(SENTENCE)

    def read(function):
        data = tf.data.Dataset.range(1).map(
            lambda i: numpy_op(function, lambda x: x, [i], tf.int64)
        )
        return list(data)

    def read_late():
        with pytest.raises(tf.errors.OpError):
            read(late)

    thread = threading.Thread(target=read_late)
    with pytest.raises(tf.errors.OpError, match="ZeroDivisionError"), plain_errors():
        thread.start()
        begun.wait(60)
        read(other)


def test_pictures_that_are_all_gone_while_they_are_learned_from(contrast, change, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(8):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), pixels)
    config = change(contrast, data={"source": str(folder), "batch_size": 4}, epochs=500)
    config = change(config, objective={"queue_size": 4})

    class Remove(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs):
            for path in folder.iterdir():
                Path(path).unlink()

    assert len(open_source(str(folder))) == 8
    with pytest.raises(DataError) as error:
        pretrain(config, tmp_path / "run", callbacks=[Remove()])
    assert str(error.value) == f"None of the images in {folder} can be read; replace them."
