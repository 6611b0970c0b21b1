"""C source of a network: one call for each operation, and kernels that are the same for all."""

from s2bnn_tf.export.c_source.write import export_c

__all__ = ["export_c"]
