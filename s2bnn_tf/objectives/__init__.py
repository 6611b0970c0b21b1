"""Losses on embeddings, and the queue of negatives."""

from s2bnn_tf.environment import require_keras_2

require_keras_2()

from s2bnn_tf.objectives.contrastive import info_nce_loss  # noqa: E402
from s2bnn_tf.objectives.distillation import distillation_loss  # noqa: E402
from s2bnn_tf.objectives.queue import KeyQueue  # noqa: E402
from s2bnn_tf.objectives.regression import regression_loss  # noqa: E402
from s2bnn_tf.objectives.similarity import similarity_loss  # noqa: E402

__all__ = [
    "KeyQueue",
    "distillation_loss",
    "info_nce_loss",
    "regression_loss",
    "similarity_loss",
]
