"""The attention with which SigLIP, and CLIP's ResNet, pool the tokens of a picture."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from s2bnn_tf.backbones.vit_layers import ACTIVATIONS, EPSILON, AddTokens

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
        query = self.query(tf.cast(self.probe, tokens.dtype))
        mixed = attend(query, self.key_value(tokens), self.heads)
        y = self.project(mixed)
        return y + self.contract(ACTIVATIONS["gelu_tanh"](self.expand(self.norm(y))))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "heads": self.heads}


@keras.utils.register_keras_serializable(package="s2bnn_tf")
class MeanAttentionPooling(keras.layers.Layer):
    """The mean of a map attends to the places of the map and to itself.

    Args:
        heads: The number of heads, which divides the number of channels.
        outputs: The number of channels of the output.
        position_grid: The number of position embeddings per side, as they were learned. A map of
            another size gets interpolated ones.
        **kwargs: Any other argument of `keras.layers.Layer`.

    Input shape:  `(batch, rows, columns, channels)`, rows and columns known.
    Output shape: `(batch, outputs)`.

    References:
        CLIP, https://arxiv.org/abs/2103.00020, section 2.4.
    """

    def __init__(self, heads: int, outputs: int, position_grid: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.heads = heads
        self.outputs = outputs
        self.position_grid = position_grid

    def build(self, input_shape: tuple[int, ...]) -> None:
        channels = int(input_shape[-1])
        normal = keras.initializers.RandomNormal(stddev=channels**-0.5)
        self.mean_position = self.add_weight("mean_position", (1, channels), initializer=normal)
        self.tokens = AddTokens(self.position_grid, class_token=False, name="tokens")
        self.tokens.build(input_shape)
        self.query = keras.layers.Dense(channels, name="query")
        self.key_value = keras.layers.Dense(2 * channels, name="kv")
        self.project = keras.layers.Dense(self.outputs, name="project")
        for layer in (self.query, self.key_value, self.project):
            layer.build((None, channels))
        super().build(input_shape)

    def call(self, maps: tf.Tensor) -> tf.Tensor:
        mean = tf.reduce_mean(maps, axis=(1, 2)) + tf.cast(self.mean_position, maps.dtype)
        tokens = tf.concat([mean[:, None], self.tokens(maps)], axis=1)
        mixed = attend(self.query(mean), self.key_value(tokens), self.heads)
        return self.project(mixed)

    def get_config(self) -> dict[str, Any]:
        own = {"heads": self.heads, "outputs": self.outputs, "position_grid": self.position_grid}
        return {**super().get_config(), **own}


def attend(query: tf.Tensor, key_value: tf.Tensor, heads: int) -> tf.Tensor:
    """Attention of one query `(B or 1, C)` to tokens' keys and values `(B, T, 2 C)`: `(B, C)`."""
    count, channels = tf.shape(key_value)[1], query.shape[-1]
    per_head = channels // heads
    asked = tf.reshape(query, (-1, heads, per_head)) * tf.cast(per_head**-0.5, query.dtype)
    parts = tf.reshape(key_value, (-1, count, 2, heads, per_head))
    key, value = tf.unstack(parts, axis=2)
    scores = tf.reduce_sum(asked[:, None] * key, axis=-1)
    # A sum of many exponentials has too few digits in float16 and bfloat16.
    precise = scores.dtype if scores.dtype == tf.float64 else tf.float32
    weights = tf.cast(tf.nn.softmax(tf.cast(scores, precise), axis=1), value.dtype)
    return tf.reshape(tf.reduce_sum(weights[..., None] * value, axis=1), (-1, channels))
