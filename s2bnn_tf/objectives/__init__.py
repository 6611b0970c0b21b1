"""Losses on embeddings, and the queue of negatives."""

import s2bnn_tf.checked  # noqa: F401
from s2bnn_tf.objectives.contrastive import info_nce_loss
from s2bnn_tf.objectives.distillation import distillation_loss
from s2bnn_tf.objectives.queue import KeyQueue
from s2bnn_tf.objectives.regression import regression_loss
from s2bnn_tf.objectives.similarity import similarity_loss

__all__ = [
    "KeyQueue",
    "distillation_loss",
    "info_nce_loss",
    "regression_loss",
    "similarity_loss",
]
