"""Losses on embeddings, the queue of negatives, and a registry for custom losses."""

import s2bnn_tf.checked  # noqa: F401
from s2bnn_tf.objectives.contrastive import info_nce_loss
from s2bnn_tf.objectives.distillation import distillation_loss
from s2bnn_tf.objectives.places import places_loss, signs_loss
from s2bnn_tf.objectives.queue import KeyQueue
from s2bnn_tf.objectives.registry import (
    check_objective,
    custom_loss,
    objective_names,
    objective_plugin,
    register_objective,
    try_objective,
)
from s2bnn_tf.objectives.regression import regression_loss
from s2bnn_tf.objectives.similarity import similarity_loss
from s2bnn_tf.objectives.words import WordAxes, words_loss

__all__ = [
    "KeyQueue",
    "WordAxes",
    "check_objective",
    "custom_loss",
    "distillation_loss",
    "info_nce_loss",
    "objective_names",
    "objective_plugin",
    "places_loss",
    "register_objective",
    "regression_loss",
    "signs_loss",
    "similarity_loss",
    "try_objective",
    "words_loss",
]
