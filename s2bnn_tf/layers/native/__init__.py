"""The layers' own kernels for training on a CPU: C++ that is compiled once on each machine."""

from s2bnn_tf.layers.native.functions import binary_convolution, rprelu, rsign
from s2bnn_tf.layers.native.library import in_use, kernels_in_prediction, load_kernels

__all__ = [
    "binary_convolution",
    "in_use",
    "kernels_in_prediction",
    "load_kernels",
    "rprelu",
    "rsign",
]
