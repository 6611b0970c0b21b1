"""PyTorch checkpoints imported as run directories, with every tensor accounted for."""

from s2bnn_tf.torch_import.importer import import_torch

__all__ = ["import_torch"]
