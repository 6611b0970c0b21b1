"""1-bit building blocks: Keras layers for binary networks, usable in any model.

They can be saved in `.keras` and `.h5` files, `larq.models.summary` counts their bits, and Larq
Compute Engine converts them.
"""

import s2bnn_tf.checked  # noqa: F401
from s2bnn_tf.layers.activations import ChannelBias, RPReLU, RSign
from s2bnn_tf.layers.conv import BinaryConv2D
from s2bnn_tf.layers.native import kernels_in_prediction, load_kernels
from s2bnn_tf.layers.quantizers import ScaledSign, scaled_sign
from s2bnn_tf.layers.structure import is_binary, leaf_layers

__all__ = [
    "BinaryConv2D",
    "ChannelBias",
    "RPReLU",
    "RSign",
    "ScaledSign",
    "is_binary",
    "kernels_in_prediction",
    "leaf_layers",
    "load_kernels",
    "scaled_sign",
]
