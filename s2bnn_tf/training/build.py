"""From a recipe to networks, queue and optimizer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import tensorflow as tf

from s2bnn_tf.backbones import Encoder
from s2bnn_tf.config import Config
from s2bnn_tf.errors import ConfigError
from s2bnn_tf.objectives import KeyQueue, try_objective
from s2bnn_tf.runs import build_encoder, restore_run
from s2bnn_tf.teachers import load_teacher
from s2bnn_tf.training.optimizers import build_optimizer
from s2bnn_tf.training.pretrainer import Pretrainer
from s2bnn_tf.training.schedules import build_schedule

keras = tf.keras

_POLICIES = {"float32": "float32", "float16": "mixed_float16", "bfloat16": "mixed_bfloat16"}


def build_pretrainer(
    config: Config, *, steps_per_epoch: int, strategy: tf.distribute.Strategy | None = None
) -> Pretrainer:
    """Build the networks, queue and optimizer of a recipe, compiled and ready for `fit`.

    Args:
        config: The recipe.
        steps_per_epoch: The number of steps in an epoch; the learning rate changes once per
            epoch.
        strategy: The strategy that places the variables; defaults to the current one.

    Raises:
        ConfigError: If the teacher's embedding has another size than the student's.
        UserError: If the teacher or `student.init_from` cannot be loaded or does not fit.
    """
    strategy = strategy or tf.distribute.get_strategy()
    with precision(config), strategy.scope():
        pretrainer = _build(config, steps_per_epoch)
    if strategy.cluster_resolver or strategy.num_replicas_in_sync > 1:
        pretrainer.student_to_read = _copier(config, pretrainer)
    return pretrainer


@contextlib.contextmanager
def precision(config: Config) -> Iterator[None]:
    """Build networks that compute in the precision of a recipe."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(_POLICIES[config.precision])
    try:
        yield
    finally:
        # None is what Keras has before anybody chooses a policy: it follows floatx().
        chosen = before.name != keras.backend.floatx()
        keras.mixed_precision.set_global_policy(before if chosen else None)


def _copier(config: Config, pretrainer: Pretrainer) -> Callable[[], Encoder]:
    """Return a function that copies a distributed student into an ordinary model."""
    copy = build_encoder(config)

    def student() -> Encoder:
        copy.set_weights(pretrainer.student.get_weights())
        return copy

    return student


def _build(config: Config, steps_per_epoch: int) -> Pretrainer:
    keras.utils.set_random_seed(config.seed)
    objective = config.objective
    if objective.custom is not None:
        try_objective(objective.custom, config.student.embedding_dim)
    student = build_encoder(config)
    momentum_encoder = queue = None
    if objective.contrastive_weight > 0:
        momentum_encoder = build_encoder(config)
        momentum_encoder.set_weights(student.get_weights())
    if objective.contrastive_weight > 0 or objective.similarity_weight > 0:
        queue = KeyQueue(objective.queue_size, config.student.embedding_dim, seed=config.seed)
    if config.student.init_from is not None:
        restore_run(config, student=student, momentum_encoder=momentum_encoder, queue=queue)
    pretrainer = Pretrainer(
        student=student,
        teacher=_load_teacher(config, student),
        momentum_encoder=momentum_encoder,
        queue=queue,
        contrastive_weight=objective.contrastive_weight,
        distillation_weight=objective.distillation_weight,
        similarity_weight=objective.similarity_weight,
        regression_weight=objective.regression_weight,
        custom=objective.custom,
        custom_weight=objective.custom_weight,
        temperature=objective.temperature,
        teacher_temperature=objective.teacher_temperature,
        momentum=objective.momentum,
        accumulation_steps=config.optimizer.accumulation_steps,
        seed=config.seed,
        key_statistics=objective.key_statistics,
    )
    schedule = build_schedule(
        config.optimizer, epochs=config.epochs, steps_per_epoch=steps_per_epoch
    )
    optimizer = build_optimizer(config.optimizer, schedule, student.trainable_variables)
    pretrainer.compile(optimizer=optimizer)
    return pretrainer


def _load_teacher(config: Config, student: Encoder) -> Encoder | None:
    if config.teacher is None:
        return None
    teacher = load_teacher(
        config.teacher, image_size=config.data.image_size, channels=config.data.channels
    )
    if teacher.embedding_dim != student.embedding_dim:
        raise ConfigError(
            f"The teacher's embedding has {teacher.embedding_dim} dimensions and the "
            f"student's {student.embedding_dim}; add "
            f"--set student.embedding_dim={teacher.embedding_dim}."
        )
    return teacher
