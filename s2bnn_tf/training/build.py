"""From a recipe to networks, queue and optimizer."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import tensorflow as tf

from s2bnn_tf.backbones import Encoder
from s2bnn_tf.config import Config, ObjectiveConfig
from s2bnn_tf.errors import ConfigError
from s2bnn_tf.objectives import KeyQueue, WordAxes, try_objective
from s2bnn_tf.runs import build_encoder, restore_run
from s2bnn_tf.teachers import load_teacher, read_words, teacher_space
from s2bnn_tf.training.optimizers import build_optimizer
from s2bnn_tf.training.pretrainer import Pretrainer
from s2bnn_tf.training.schedules import build_schedule

log = logging.getLogger(__name__)

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
        ConfigError: If the student has no head, and the teacher's output has another dimension.
        UserError: If the teacher or `student.init_from` cannot be loaded or does not fit.
    """
    strategy = strategy or tf.distribute.get_strategy()
    with precision(config), strategy.scope():
        pretrainer = _build(config, steps_per_epoch)
    if strategy.cluster_resolver or strategy.num_replicas_in_sync > 1:
        pretrainer.student_to_read = _copier(fit_head(config, pretrainer.student), pretrainer)
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


def fit_head(config: Config, network: Encoder) -> Config:
    """The recipe whose student has the embedding dimension of a network."""
    dim = network.embedding_dim
    return replace(config, student=replace(config.student, embedding_dim=dim))


def loss_arguments(objective: ObjectiveConfig) -> dict[str, Any]:
    """The losses of a recipe, as arguments of `Pretrainer`."""
    return {
        "contrastive_weight": objective.contrastive_weight,
        "distillation_weight": objective.distillation_weight,
        "similarity_weight": objective.similarity_weight,
        "regression_weight": objective.regression_weight,
        "words_weight": objective.words_weight,
        "words": None if objective.words is None else _axes(objective.words),
        "custom": objective.custom,
        "custom_weight": objective.custom_weight,
        "temperature": objective.temperature,
        "teacher_temperature": objective.teacher_temperature,
        "key_statistics": objective.key_statistics,
    }


def _axes(path: str) -> WordAxes:
    """The words of a file as axes."""
    words, _, _ = read_words(path)
    return WordAxes(words.rows, words.scale, words.bias)


def _check_words(config: Config, dim: int) -> None:
    """Refuse words of another teacher, which may have as many dimensions.

    Raises:
        ConfigError: If they are.
    """
    if config.objective.words is None or config.teacher is None:
        return
    words, space, name = read_words(config.objective.words)
    own = teacher_space(config.teacher)
    if words.rows.shape[1] != dim or (space is not None and space != own):
        raise ConfigError(
            f"objective.words: the words in {config.objective.words} have {words.rows.shape[1]} "
            f"numbers{f' and are of {name}' if name else ''}, and the teacher's output is another "
            f"space of {dim}; make them for it with `s2bnn words`."
        )


def _copier(config: Config, pretrainer: Pretrainer) -> Callable[[], Encoder]:
    """Return a function that copies a distributed student into an ordinary model."""
    copy = build_encoder(config)

    def student() -> Encoder:
        copy.set_weights(pretrainer.student.get_weights())
        return copy

    return student


def _build(config: Config, steps_per_epoch: int) -> Pretrainer:
    teacher = _load_teacher(config)
    if teacher is not None and config.student.head != "none":
        config = fit_head(config, teacher)
    keras.utils.set_random_seed(config.seed)  # after the teacher, which also draws numbers
    objective = config.objective
    _check_words(config, config.student.embedding_dim)
    if objective.custom is not None:
        try_objective(objective.custom, config.student.embedding_dim)
    student = build_encoder(config)
    _check_dimensions(teacher, student)
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
        teacher=teacher,
        momentum_encoder=momentum_encoder,
        queue=queue,
        momentum=objective.momentum,
        accumulation_steps=config.optimizer.accumulation_steps,
        seed=config.seed,
        **loss_arguments(objective),
    )
    schedule = build_schedule(
        config.optimizer, epochs=config.epochs, steps_per_epoch=steps_per_epoch
    )
    optimizer = build_optimizer(config.optimizer, schedule, student.trainable_variables)
    pretrainer.compile(optimizer=optimizer)
    return pretrainer


def _load_teacher(config: Config) -> Encoder | None:
    if config.teacher is None:
        return None
    teacher = load_teacher(
        config.teacher, image_size=config.data.image_size, channels=config.data.channels
    )
    asked = config.student.embedding_dim
    if asked != teacher.embedding_dim and config.student.head != "none":
        log.warning(
            "student.embedding_dim is %d and the teacher's output has %d dimensions, so the "
            "student's head has %d.",
            asked,
            *2 * [teacher.embedding_dim],
        )
    return teacher


def _check_dimensions(teacher: Encoder | None, student: Encoder) -> None:
    if teacher is not None and teacher.embedding_dim != student.embedding_dim:
        raise ConfigError(
            f"The teacher's output has {teacher.embedding_dim} dimensions, and the student without "
            f"a head has {student.embedding_dim}; set student.head, or another teacher.output."
        )
