"""Networks that tell, beside the embedding of a picture, the features of its places."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from s2bnn_tf.backbones import (
    Encoder,
    ReverseImage,
    is_vit,
    last_maps,
    reverses_image,
    with_output,
)
from s2bnn_tf.errors import ConfigError

keras = tf.keras


class WithPlaces:
    """An encoder that returns embedding and map in one row, so that rows can be split and joined.

    Args:
        encoder: The network; its layers are shared.
        places: The map `(B, H, W, C)` inside its backbone.
    """

    def __init__(self, encoder: Encoder, places: tf.Tensor):
        self.encoder = encoder
        self.embedding_dim = encoder.embedding_dim
        _, rows, columns, channels = places.shape
        self.shape: tuple[int, int] = (int(rows * columns), int(channels))
        self.backbone = keras.Model(encoder.backbone.input, [encoder.backbone.output, places])

    @property
    def width(self) -> int:
        """The numbers of a row, D + P * C."""
        return self.embedding_dim + self.shape[0] * self.shape[1]

    def __call__(self, views: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Compute `(B, D + P * C)` from views `(B, H, W, 3)`."""
        features, places = self.backbone(views, training=training)
        embedding = self.encoder.project(features, training=training)
        places = tf.reshape(places, (-1, self.width - self.embedding_dim))
        return tf.concat([embedding, tf.cast(places, embedding.dtype)], axis=-1)

    def split(self, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The embeddings `(B, D)` and the maps `(B, P, C)` of rows."""
        embedding, places = tf.split(rows, [self.embedding_dim, -1], axis=-1)
        return embedding, tf.reshape(places, (-1, *self.shape))


class Places(NamedTuple):
    """Student and teacher with maps of the same places.

    Attributes:
        student: The student, with C channels.
        teacher: The teacher, with C' channels.
        projection: `(C', C)`, fixed and random, which brings the teacher's map to the student's
            channels; the angles between places are about kept.
    """

    student: WithPlaces
    teacher: WithPlaces
    projection: tf.Tensor


def pair_places(student: Encoder, teacher: Encoder) -> Places:
    """Find the deepest maps of two networks that have the same places.

    Raises:
        ConfigError: If there are none.
    """
    ours, theirs = _maps(student.backbone), _maps(teacher.backbone)
    common = [stride for stride in ours if stride in theirs]
    if not common or student.backbone.input_shape[1:3] != teacher.backbone.input_shape[1:3]:
        described = [
            f"maps of stride {', '.join(map(str, sorted(maps)))}" if maps else "no maps"
            for maps in (ours, theirs)
        ]
        raise ConfigError(
            f"objective.places_weight and signs_weight compare maps: the student has "
            f"{described[0]} and the teacher {described[1]}; set both to 0, or choose networks "
            "that have one in common."
        )
    pair = [
        WithPlaces(network, _upright(network.backbone, maps[max(common)]))
        for network, maps in ((student, ours), (teacher, theirs))
    ]
    shape = (pair[1].shape[1], pair[0].shape[1])
    projection = tf.random.stateless_normal(shape, seed=shape) / shape[1] ** 0.5
    return Places(pair[0], pair[1], projection)


def _maps(backbone: keras.Model) -> dict[int, tf.Tensor]:
    if not is_vit(backbone):
        return last_maps(backbone)
    tokens = with_output(backbone, "map").output
    return {backbone.input_shape[1] // tokens.shape[1]: tokens}


def _upright(backbone: keras.Model, places: tf.Tensor) -> tf.Tensor:
    """A map as it lies over the picture."""
    if reverses_image(backbone):
        return ReverseImage(dtype=places.dtype.name)(places)
    return places
