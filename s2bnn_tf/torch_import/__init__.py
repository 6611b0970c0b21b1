"""PyTorch checkpoints become run directories: files, naming, networks, assembly."""

from s2bnn_tf.torch_import.importer import import_torch

__all__ = ["import_torch"]
