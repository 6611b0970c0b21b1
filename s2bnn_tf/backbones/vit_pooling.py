"""The attention with which SigLIP pools the tokens of a picture."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from s2bnn_tf.backbones.vit_layers import ACTIVATIONS, EPSILON

keras = tf.keras


@keras.utils.register_keras_serializable(package="s2bnn_tf")
class AttentionPooling(keras.layers.Layer):
    """One learned query attends to all tokens; a multilayer perceptron follows.

    `y = attention(probe, tokens)`, `z = y + mlp(norm(y))`.

    Args:
        heads: The number of heads, which divides the number of channels.
        **kwargs: Any other argument of `keras.layers.Layer`.

    Input shape:  `(batch, tokens, channels)`.
    Output shape: `(batch, channels)`.

    References:
        Set Transformer, https://arxiv.org/abs/1810.00825, section 3.2; SigLIP,
        https://arxiv.org/abs/2303.15343.
    """

    def __init__(self, heads: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.heads = heads

    def build(self, input_shape: tuple[int, ...]) -> None:
        channels = int(input_shape[-1])
        normal = keras.initializers.RandomNormal(stddev=0.02)
        self.probe = self.add_weight("probe", (1, channels), initializer=normal)
        dense = keras.layers.Dense
        self.query, self.key_value = dense(channels, name="query"), dense(2 * channels, name="kv")
        self.project = dense(channels, name="project")
        self.norm = keras.layers.LayerNormalization(epsilon=EPSILON, name="norm")
        self.expand, self.contract = dense(4 * channels, name="expand"), dense(channels, name="out")
        for layer in (self.query, self.key_value, self.project, self.norm, self.expand):
            layer.build((None, channels))
        self.contract.build((None, 4 * channels))
        super().build(input_shape)

    def call(self, tokens: tf.Tensor) -> tf.Tensor:
        count, channels = tf.shape(tokens)[1], tokens.shape[-1]
        per_head = channels // self.heads
        query = tf.reshape(self.query(tf.cast(self.probe, tokens.dtype)), (self.heads, per_head))
        query *= tf.cast(per_head**-0.5, query.dtype)
        parts = tf.reshape(self.key_value(tokens), (-1, count, 2, self.heads, per_head))
        key, value = tf.unstack(parts, axis=2)
        scores = tf.einsum("hc,bthc->bht", query, key)
        # A sum of many exponentials has too few digits in float16 and bfloat16.
        precise = scores.dtype if scores.dtype == tf.float64 else tf.float32
        weights = tf.cast(tf.nn.softmax(tf.cast(scores, precise)), value.dtype)
        mixed = tf.reshape(tf.einsum("bht,bthc->bhc", weights, value), (-1, channels))
        y = self.project(mixed)
        return y + self.contract(ACTIVATIONS["gelu_tanh"](self.expand(self.norm(y))))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "heads": self.heads}
