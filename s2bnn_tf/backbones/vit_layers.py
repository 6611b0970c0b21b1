"""The layers of a vision transformer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from s2bnn_tf.backbones.positions import by_scale, by_size

keras = tf.keras

EPSILON = 1e-6  # of all layer normalizations of DINO and DINOv2
# Of the multilayer perceptrons: DINO's; CLIP's, which is coarser; SigLIP's.
ACTIVATIONS: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "gelu": lambda x: tf.nn.gelu(x, approximate=False),
    "quick_gelu": lambda x: x * tf.sigmoid(tf.cast(1.702, x.dtype) * x),
    "gelu_tanh": lambda x: tf.nn.gelu(x, approximate=True),
}
OUTPUTS = ("class_token", "patches", "class_and_patches", "map")


@keras.utils.register_keras_serializable(package="s2bnn_tf")
class AddTokens(keras.layers.Layer):
    """Add position embeddings to the patches of an image, and put further tokens before them.

    The order is that of DINOv2: the class token, the registers, the patches row by row. The class
    token holds its own position embedding, and registers have none.

    Args:
        position_grid: The number of position embeddings per side, as they were learned. A map of
            another size gets interpolated ones.
        registers: The number of register tokens. With registers, positions are interpolated by
            size and antialiased; without, by the scale factor, as the publisher does.
        class_token: Whether there is a class token; SigLIP has none.
        **kwargs: Any other argument of `keras.layers.Layer`.

    Input shape:  `(batch, rows, columns, channels)`, rows and columns known.
    Output shape: `(batch, 1 + registers + rows * columns, channels)`, without a class token one
        token less.

    References:
        DINOv2, https://arxiv.org/abs/2304.07193; registers, https://arxiv.org/abs/2309.16588.
    """

    def __init__(
        self, position_grid: int, registers: int = 0, class_token: bool = True, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.position_grid = position_grid
        self.registers = registers
        self.has_class_token = class_token

    def build(self, input_shape: tuple[int, ...]) -> None:
        _, rows, columns, channels = input_shape

        def add(name: str, *shape: int) -> tf.Variable:
            # Interpolated in its own precision, whatever that of the arithmetic is.
            return self.add_weight(
                name, (*shape, channels), initializer=_normal(), experimental_autocast=False
            )

        self.class_token = add("class_token", 1) if self.has_class_token else None
        self.positions = add("positions", self.position_grid, self.position_grid)
        self.register_tokens = add("register_tokens", self.registers) if self.registers else None
        rule = by_size if self.registers else by_scale
        self._interpolation = None
        if (rows, columns) != (self.position_grid, self.position_grid):
            self._interpolation = [rule(self.position_grid, size) for size in (rows, columns)]
        super().build(input_shape)

    def call(self, patches: tf.Tensor) -> tf.Tensor:
        _, rows, columns, channels = patches.shape
        x = tf.reshape(patches, (-1, rows * columns, channels))
        x += tf.reshape(tf.cast(self._positions(), x.dtype), (1, rows * columns, channels))
        tokens = [t for t in (self.class_token, self.register_tokens) if t is not None]
        if not tokens:
            return x
        before = tf.cast(tf.concat(tokens, axis=0), x.dtype)[None]
        return tf.concat([tf.repeat(before, tf.shape(x)[0], axis=0), x], axis=1)

    def _positions(self) -> tf.Tensor:
        """The position embeddings `(rows, columns, channels)` of the map."""
        if self._interpolation is None:
            return tf.convert_to_tensor(self.positions)
        high, wide = (tf.constant(m, self.positions.dtype) for m in self._interpolation)
        across = tf.einsum("wj,ijc->iwc", wide, self.positions)
        return tf.einsum("hi,iwc->hwc", high, across)

    def get_config(self) -> dict[str, Any]:
        own = {"position_grid": self.position_grid, "registers": self.registers}
        return {**super().get_config(), **own, "class_token": self.has_class_token}


@keras.utils.register_keras_serializable(package="s2bnn_tf")
class TransformerBlock(keras.layers.Layer):
    """Attention and a multilayer perceptron, each after a normalization and beside a shortcut.

    `y = x + s1 * attention(norm1(x))`, `z = y + s2 * mlp(norm2(y))`, with factors s1 and s2 per
    channel (LayerScale) or without them.

    Args:
        heads: The number of heads, which divides the number of channels.
        layer_scale: Whether there are the factors s1 and s2; DINOv2 has them, DINO does not.
        activation: A key of `ACTIVATIONS`.
        epsilon: What the normalizations add to the variance.
        **kwargs: Any other argument of `keras.layers.Layer`.

    Input shape:  `(batch, tokens, channels)`.
    Output shape: same as the input.

    References:
        https://arxiv.org/abs/2010.11929; LayerScale, https://arxiv.org/abs/2103.17239.
    """

    def __init__(
        self,
        heads: int,
        layer_scale: bool = False,
        activation: str = "gelu",
        epsilon: float = EPSILON,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.heads = heads
        self.layer_scale = layer_scale
        self.activation = activation
        self.epsilon = epsilon

    def build(self, input_shape: tuple[int, ...]) -> None:
        channels = int(input_shape[-1])
        self.norm1 = keras.layers.LayerNormalization(epsilon=self.epsilon, name="norm1")
        self.norm2 = keras.layers.LayerNormalization(epsilon=self.epsilon, name="norm2")
        self.qkv = _dense(3 * channels, "qkv")
        self.project = _dense(channels, "project")
        self.expand = _dense(4 * channels, "expand")
        self.contract = _dense(channels, "contract")
        for layer in (self.norm1, self.norm2, self.qkv, self.project, self.expand):
            layer.build((None, None, channels))
        self.contract.build((None, None, 4 * channels))
        self.scale1 = self.scale2 = None
        if self.layer_scale:
            self.scale1, self.scale2 = (
                self.add_weight(name, (channels,), initializer=keras.initializers.Constant(1e-5))
                for name in ("scale1", "scale2")
            )
        super().build(input_shape)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        attended = self._attention(self.norm1(x))
        x += attended if self.scale1 is None else attended * self.scale1
        hidden = ACTIVATIONS[self.activation](self.expand(self.norm2(x)))
        changed = self.contract(hidden)
        return x + (changed if self.scale2 is None else changed * self.scale2)

    def _attention(self, x: tf.Tensor) -> tf.Tensor:
        count, channels = tf.shape(x)[1], x.shape[-1]
        per_head = channels // self.heads
        parts = tf.reshape(self.qkv(x), (-1, count, 3, self.heads, per_head))
        query, key, value = tf.unstack(tf.transpose(parts, (2, 0, 3, 1, 4)), num=3)
        query *= tf.cast(per_head**-0.5, query.dtype)
        scores = tf.matmul(query, key, transpose_b=True)
        # A sum of many exponentials has too few digits in float16 and bfloat16.
        precise = scores.dtype if scores.dtype == tf.float64 else tf.float32
        weights = tf.cast(tf.nn.softmax(tf.cast(scores, precise)), value.dtype)
        mixed = tf.transpose(tf.matmul(weights, value), (0, 2, 1, 3))
        return self.project(tf.reshape(mixed, (-1, count, channels)))

    def get_config(self) -> dict[str, Any]:
        own = {"heads": self.heads, "layer_scale": self.layer_scale}
        return {
            **super().get_config(),
            **own,
            "activation": self.activation,
            "epsilon": self.epsilon,
        }


@keras.utils.register_keras_serializable(package="s2bnn_tf")
class PickTokens(keras.layers.Layer):
    """Turn the tokens of a vision transformer into features or a map.

    Args:
        output: `"class_token"`, `"patches"` for their mean, `"class_and_patches"` for both
            concatenated, or `"map"` for the map of all patches.
        rows: The number of rows of patches.
        registers: The number of register tokens, which are left out.
        **kwargs: Any other argument of `keras.layers.Layer`.

    Input shape:  `(batch, 1 + registers + rows * columns, channels)`.
    Output shape: `(batch, channels)`; twice the channels for both; `(batch, rows, columns,
        channels)` for the map.
    """

    def __init__(self, output: str, rows: int, registers: int = 0, **kwargs: Any):
        super().__init__(**kwargs)
        self.picked = output
        self.rows = rows
        self.registers = registers

    def call(self, tokens: tf.Tensor) -> tf.Tensor:
        patches = tokens[:, 1 + self.registers :]
        if self.picked == "map":
            columns = patches.shape[1] // self.rows
            return tf.reshape(patches, (-1, self.rows, columns, tokens.shape[-1]))
        if self.picked == "class_token":
            return tokens[:, 0]
        precise = tokens.dtype if tokens.dtype == tf.float64 else tf.float32
        mean = tf.cast(tf.reduce_mean(tf.cast(patches, precise), axis=1), tokens.dtype)
        return mean if self.picked == "patches" else tf.concat([tokens[:, 0], mean], axis=-1)

    def get_config(self) -> dict[str, Any]:
        own = {"output": self.picked, "rows": self.rows, "registers": self.registers}
        return {**super().get_config(), **own}


def _dense(units: int, name: str) -> keras.layers.Dense:
    return keras.layers.Dense(units, kernel_initializer=_normal(), name=name)


def _normal() -> keras.initializers.Initializer:
    """A new object for each variable: one alone gives all of them the same values."""
    return keras.initializers.TruncatedNormal(stddev=0.02)
