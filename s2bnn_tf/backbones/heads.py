"""The projection head, and an encoder: a backbone with its head."""

from __future__ import annotations

import tensorflow as tf

keras = tf.keras


def projection_head(feature_dim: int, embedding_dim: int) -> keras.Model:
    """MoCo v2's two-layer head: `Dense(feature_dim)`, ReLU, `Dense(embedding_dim)`.

    Args:
        feature_dim: Channels C of the backbone.
        embedding_dim: Dimension D of the embedding, 128 in the paper.

    Returns:
        A Keras model, `(B, C)` to `(B, D)`.

    References:
        MoCo v2, https://arxiv.org/abs/2003.04297, section 3.
    """
    features = keras.Input((feature_dim,), name="features")
    x = _linear(feature_dim, feature_dim, "hidden")(features)
    x = keras.layers.ReLU(name="relu")(x)
    return keras.Model(features, _linear(feature_dim, embedding_dim, "output")(x), name="head")


def _linear(input_dim: int, units: int, name: str) -> keras.layers.Dense:
    """A Dense layer that starts like PyTorch's Linear: uniform within 1/sqrt(input_dim)."""
    limit = input_dim**-0.5
    return keras.layers.Dense(
        units,
        kernel_initializer=keras.initializers.RandomUniform(-limit, limit),
        bias_initializer=keras.initializers.RandomUniform(-limit, limit),
        name=name,
    )


@keras.utils.register_keras_serializable(package="s2bnn_tf")
class Encoder(keras.Model):
    """A backbone with a head: images to embeddings of unit length.

    `encoder(images)` gives embeddings, for training; `encoder.backbone(images)`
    gives features, for everything after training.

    Args:
        backbone: A model, `(B, H, W, 3)` to `(B, C)`.
        head: A model, `(B, C)` to `(B, D)`; None uses the features themselves.

    Input shape:  `(B, H, W, 3)`, normalised images.
    Output shape: `(B, D)`, rows of unit length.
    """

    def __init__(self, backbone: keras.Model, head: keras.Model | None = None, **kwargs):
        super().__init__(**kwargs)
        self.backbone = backbone
        self.head = head

    @property
    def embedding_dim(self) -> int:
        """Dimension D of the embedding."""
        return int((self.head or self.backbone).output_shape[-1])

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        x = self.backbone(images, training=training)
        if self.head is not None:
            x = self.head(x, training=training)
        return tf.math.l2_normalize(tf.cast(x, tf.float32), axis=-1)  # also of a float16 network

    def get_config(self):
        head = None if self.head is None else keras.layers.serialize(self.head)
        return {
            **super().get_config(),
            "backbone": keras.layers.serialize(self.backbone),
            "head": head,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        for part in ("backbone", "head"):
            if config[part] is not None:
                config[part] = keras.layers.deserialize(config[part], custom_objects)
        return cls(**config)
