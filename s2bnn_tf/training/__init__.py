"""From losses to a checkpoint: the one train_step and everything around it."""

import s2bnn_tf.checked  # noqa: F401
from s2bnn_tf.training.available_memory import return_memory
from s2bnn_tf.training.build import build_pretrainer
from s2bnn_tf.training.distribution import is_chief, open_strategy
from s2bnn_tf.training.guidance import KeptTeacher
from s2bnn_tf.training.loggers import check_loggers
from s2bnn_tf.training.momentum import update_momentum
from s2bnn_tf.training.optimizers import LAMB, SGD, Adam
from s2bnn_tf.training.pretrain import pretrain
from s2bnn_tf.training.pretrainer import Pretrainer
from s2bnn_tf.training.schedules import EpochSchedule
from s2bnn_tf.training.step_memory import (
    StepMemory,
    check_step_fits,
    count_step_memory,
    describe_refusal,
    gibibytes,
    room_to_train,
)
from s2bnn_tf.training.stopping import NotFiniteError, TrainingStopped
from s2bnn_tf.training.timing import Cost, time_steps

__all__ = [
    "LAMB",
    "SGD",
    "Adam",
    "Cost",
    "EpochSchedule",
    "KeptTeacher",
    "NotFiniteError",
    "Pretrainer",
    "StepMemory",
    "TrainingStopped",
    "build_pretrainer",
    "check_loggers",
    "check_step_fits",
    "count_step_memory",
    "describe_refusal",
    "gibibytes",
    "is_chief",
    "open_strategy",
    "pretrain",
    "return_memory",
    "room_to_train",
    "time_steps",
    "update_momentum",
]
