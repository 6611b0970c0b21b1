"""From a recipe to networks, queue and optimizer."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import tensorflow as tf

from s2bnn_tf.backbones import Encoder
from s2bnn_tf.config import Config, ObjectiveConfig
from s2bnn_tf.errors import ConfigError
from s2bnn_tf.layers import BinaryConv2D, leaf_layers, load_kernels
from s2bnn_tf.objectives import KeyQueue, WordAxes, try_objective
from s2bnn_tf.runs import build_encoder, restore_run
from s2bnn_tf.teachers import StoredTargets, load_teacher, read_words, teacher_space, with_map
from s2bnn_tf.training.guidance import Guidance
from s2bnn_tf.training.optimizers import build_optimizer
from s2bnn_tf.training.precision import precision
from s2bnn_tf.training.pretrainer import Pretrainer
from s2bnn_tf.training.schedules import build_schedule

log = logging.getLogger(__name__)

keras = tf.keras


def build_pretrainer(
    config: Config,
    *,
    steps_per_epoch: int,
    strategy: tf.distribute.Strategy | None = None,
    guidance: Guidance | None = None,
) -> Pretrainer:
    """Build the networks, queue and optimizer of a recipe, compiled and ready for `fit`.

    Args:
        config: The recipe.
        steps_per_epoch: The number of steps in an epoch; the learning rate changes once per
            epoch.
        strategy: The strategy that places the variables; defaults to the current one.
        guidance: What was prepared of the teacher; by default it computes every target as it is.

    Raises:
        ConfigError: If the student has no head, and the teacher's output has another dimension.
        UserError: If the teacher or `student.init_from` cannot be loaded or does not fit.
    """
    strategy = strategy or tf.distribute.get_strategy()
    with precision(config), strategy.scope():
        pretrainer = _build(config, steps_per_epoch, guidance or Guidance())
    if strategy.cluster_resolver or strategy.num_replicas_in_sync > 1:
        pretrainer.student_to_read = _copier(fit_head(config, pretrainer.student), pretrainer)
    return pretrainer


def fit_head(config: Config, network: Encoder | StoredTargets) -> Config:
    """The recipe whose student has the embedding dimension of a network, or of targets."""
    dim = network.embedding_dim
    return replace(config, student=replace(config.student, embedding_dim=dim))


def use_kernels(student: Encoder) -> None:
    """Let a binary student train with the layers' own kernels, where this machine has them."""
    binary = [la for la in leaf_layers(student.backbone) if isinstance(la, BinaryConv2D)]
    if any(layer.compute_dtype == "float32" for layer in binary):
        load_kernels()


def loss_arguments(objective: ObjectiveConfig) -> dict[str, Any]:
    """The losses of a recipe, as arguments of `Pretrainer`."""
    return {
        "contrastive_weight": objective.contrastive_weight,
        "distillation_weight": objective.distillation_weight,
        "similarity_weight": objective.similarity_weight,
        "regression_weight": objective.regression_weight,
        "places_weight": objective.places_weight,
        "signs_weight": objective.signs_weight,
        "words_weight": objective.words_weight,
        "words": None if objective.words is None else _axes(objective.words),
        "custom": objective.custom,
        "custom_weight": objective.custom_weight,
        "temperature": objective.temperature,
        "teacher_temperature": objective.teacher_temperature,
        "key_statistics": objective.key_statistics,
        "final_distillation_weight": objective.final_distillation_weight,
        "mixup": objective.mixup,
        "cross_views": objective.cross_views,
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


def _build(config: Config, steps_per_epoch: int, guidance: Guidance) -> Pretrainer:
    stored = guidance.stored
    teacher = None if stored is not None else _load_teacher(config, guidance)
    guide = stored or teacher
    if guide is not None:
        config = _fit_to(guide, config)
    keras.utils.set_random_seed(config.seed)  # after the teacher, which also draws numbers
    objective = config.objective
    if (objective.mixup or objective.cross_views) and stored is not None:
        raise ConfigError(
            "objective: with mixup or cross_views the teacher has to see each batch, and its "
            "features are stored; expected a network as teacher.weights."
        )
    _check_words(config, config.student.embedding_dim)
    if objective.custom is not None:
        try_objective(objective.custom, config.student.embedding_dim)
    student = build_encoder(config)
    use_kernels(student)
    _check_dimensions(guide, student)
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
        stored_targets=stored is not None,
        momentum_encoder=momentum_encoder,
        queue=queue,
        momentum=objective.momentum,
        accumulation_steps=config.optimizer.accumulation_steps,
        seed=config.seed,
        total_steps=config.epochs * steps_per_epoch,
        **loss_arguments(objective),
    )
    schedule = build_schedule(
        config.optimizer,
        epochs=config.epochs,
        steps_per_epoch=steps_per_epoch,
        by_step=config.steps is not None,
    )
    optimizer = build_optimizer(config.optimizer, schedule, student.trainable_variables)
    pretrainer.compile(optimizer=optimizer)
    return pretrainer


def _load_teacher(config: Config, guidance: Guidance) -> Encoder | None:
    if config.teacher is None:
        return None
    teacher = guidance.teacher
    if teacher is None or tf.distribute.has_strategy():  # which makes variables of its own kind
        teacher = load_teacher(
            config.teacher, image_size=config.data.image_size, channels=config.data.channels
        )
    return teacher if guidance.target_map is None else with_map(teacher, guidance.target_map)


def _fit_to(guide: Encoder | StoredTargets, config: Config) -> Config:
    """The recipe whose student's head has the dimension of the targets."""
    if config.student.head == "none":
        return config
    asked = config.student.embedding_dim
    if asked != guide.embedding_dim:
        log.warning(
            "student.embedding_dim is %d and the teacher's output has %d dimensions, so the "
            "student's head has %d.",
            asked,
            *2 * [guide.embedding_dim],
        )
    return fit_head(config, guide)


def _check_dimensions(teacher: Encoder | StoredTargets | None, student: Encoder) -> None:
    if teacher is not None and teacher.embedding_dim != student.embedding_dim:
        raise ConfigError(
            f"The teacher's output has {teacher.embedding_dim} dimensions, and the student without "
            f"a head has {student.embedding_dim}; set student.head, or another teacher.output."
        )
