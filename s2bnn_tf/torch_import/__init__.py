"""PyTorch checkpoints imported as run directories, with every tensor accounted for."""

import s2bnn_tf.checked  # noqa: F401
from s2bnn_tf.torch_import.importer import import_torch

__all__ = ["import_torch"]
