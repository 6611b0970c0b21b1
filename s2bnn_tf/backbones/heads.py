"""The projection head, and an encoder: a backbone with its head."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from s2bnn_tf.backbones.batch_norm import batch_norm
from s2bnn_tf.errors import ConfigError

keras = tf.keras

DEFAULT_HEAD = "linear relu linear"
_HEAD_LAYERS = ("linear", "bn", "relu", "gelu")


def projection_head(
    feature_dim: int,
    embedding_dim: int,
    *,
    layers: str = DEFAULT_HEAD,
    hidden_dim: int | None = None,
) -> keras.Model:
    """Build a multilayer perceptron from features to embeddings; by default that of MoCo v2.

    >>> projection_head(512, 128, layers="linear bn relu linear").output_shape
    (None, 128)

    Args:
        feature_dim: Number of channels C of the backbone's features.
        embedding_dim: Dimension D of the embedding, 128 in the paper.
        layers: The layers in order, in the words `linear`, `bn`, `relu` and `gelu`. MoCo v2
            has "linear relu linear", SwAV "linear bn relu linear".
        hidden_dim: Units of every linear layer but the last; defaults to C.

    Returns:
        A Keras model from `(B, C)` to `(B, D)`.

    Raises:
        ConfigError: If `layers` has no linear layer or an unknown word.

    References:
        MoCo v2, https://arxiv.org/abs/2003.04297, section 3.
    """
    names = layers.split()
    if "linear" not in names or not set(names) <= set(_HEAD_LAYERS):
        raise ConfigError(
            f"A head is made of the words {', '.join(_HEAD_LAYERS)}, at least one of them linear, "
            f"as in {DEFAULT_HEAD!r}, not {layers!r}."
        )
    features = keras.Input((feature_dim,), name="features")
    x = features
    left = names.count("linear")
    for index, name in enumerate(names):
        if name == "linear":
            left -= 1
            units = (hidden_dim or feature_dim) if left else embedding_dim
            x = _linear(x.shape[-1], units, f"linear{index}")(x)
        elif name == "bn":
            x = batch_norm(f"bn{index}")(x)
        else:
            x = keras.layers.Activation(name, name=f"{name}{index}")(x)
    return keras.Model(features, x, name="head")


def _linear(input_dim: int, units: int, name: str) -> keras.layers.Dense:
    """A Dense layer initialized like PyTorch's Linear: uniform within 1/sqrt(input_dim)."""
    limit = input_dim**-0.5
    return keras.layers.Dense(
        units,
        kernel_initializer=keras.initializers.RandomUniform(-limit, limit),
        bias_initializer=keras.initializers.RandomUniform(-limit, limit),
        name=name,
    )


@keras.utils.register_keras_serializable(package="s2bnn_tf")
class Encoder(keras.Model):
    """A backbone with a head, from images to embeddings of unit length.

    Training uses the embeddings, `encoder(images)`; everything after training uses the
    features, `encoder.backbone(images)`.

    Args:
        backbone: A model from `(B, H, W, 3)` to `(B, C)`.
        head: A model from `(B, C)` to `(B, D)`; with None, the features are the embedding.
        **kwargs: Any other argument of `keras.Model`.

    Input shape:  `(B, H, W, 3)`, normalized images.
    Output shape: `(B, D)`, rows of unit length.
    """

    def __init__(self, backbone: keras.Model, head: keras.Model | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.backbone = backbone
        self.head = head
        # All variables exist then. Keras's `build` would trace the whole network to find out.
        self.built = backbone.built and (head is None or head.built)

    @property
    def embedding_dim(self) -> int:
        """Dimension D of the embedding."""
        return int((self.head or self.backbone).output_shape[-1])

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        return self.project(self.backbone(images, training=training), training=training)

    def project(self, features: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Turn features `(B, C)` into embeddings `(B, D)` of unit length."""
        x = features if self.head is None else self.head(features, training=training)
        return tf.math.l2_normalize(tf.cast(x, keras.backend.floatx()), axis=-1)  # x may be float16

    def get_config(self) -> dict[str, Any]:
        head = None if self.head is None else keras.layers.serialize(self.head)
        return {
            **super().get_config(),
            "backbone": keras.layers.serialize(self.backbone),
            "head": head,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> Encoder:
        config = dict(config)
        for part in ("backbone", "head"):
            if config[part] is not None:
                config[part] = keras.layers.deserialize(config[part], custom_objects)
        return cls(**config)
