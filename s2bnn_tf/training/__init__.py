"""From losses to a checkpoint: the train_step and everything around it."""

from s2bnn_tf.training.callbacks import NotFiniteError
from s2bnn_tf.training.momentum import update_momentum
from s2bnn_tf.training.optimizers import SGD, Adam
from s2bnn_tf.training.pretrain import TrainingStopped, build_pretrainer, pretrain
from s2bnn_tf.training.pretrainer import Pretrainer
from s2bnn_tf.training.schedules import EpochSchedule

__all__ = [
    "SGD",
    "Adam",
    "EpochSchedule",
    "NotFiniteError",
    "Pretrainer",
    "TrainingStopped",
    "build_pretrainer",
    "pretrain",
    "update_momentum",
]
