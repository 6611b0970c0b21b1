"""A whole run: from a recipe to a run directory, resumable at every step."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf

from s2bnn_tf.config import Config, to_dict
from s2bnn_tf.data import Augmentation, ImageSource, open_source, steps_per_epoch, view_dataset
from s2bnn_tf.errors import UserError
from s2bnn_tf.objectives import KeyQueue
from s2bnn_tf.training.callbacks import (
    Checkpoints,
    MetricsLog,
    Monitor,
    Monitors,
    Progress,
    StopOnNotFinite,
    StopOnSignal,
)
from s2bnn_tf.training.optimizers import build_optimizer
from s2bnn_tf.training.pretrainer import Pretrainer
from s2bnn_tf.training.schedules import build_schedule
from s2bnn_tf.weights import RunDirectory, build_encoder, load_teacher, restore_run

log = logging.getLogger(__name__)

# What may differ between a run and its resumption: it changes nothing that is learned.
_FREE_TO_CHANGE = {"monitor"}


class TrainingStopped(Exception):
    """Training was stopped by a signal; all is saved."""


def pretrain(
    config: Config,
    output_dir: str | Path,
    *,
    resume: bool = True,
    monitors: Mapping[str, Monitor] | None = None,
) -> RunDirectory:
    """Train a student as a recipe says.

    Args:
        config: The recipe.
        output_dir: The run directory; one that holds an unfinished run of the
            same recipe is continued.
        resume: False refuses a directory that already holds a run.
        monitors: By name, functions from the student to a score, called every
            `monitor.knn_every` epochs; the scores go to `metrics.jsonl`.

    Returns:
        The run directory, with `encoder.weights.h5`.

    Raises:
        UserError: if the data, the teacher or the directory cannot be used.
        NotFiniteError: if the loss became infinite or not a number.
        TrainingStopped: after Ctrl-C or SIGTERM, when everything is saved.
    """
    run = RunDirectory(output_dir)
    _check_resumable(run, config, resume)
    source = open_source(config.data.source, "train")
    steps = steps_per_epoch(source, config.data.batch_size)
    pretrainer = build_pretrainer(config, steps_per_epoch=steps)
    _warn_of_large_queue(config, source)
    run.create(config)

    checkpoint = _checkpoint(pretrainer)
    manager = tf.train.CheckpointManager(
        checkpoint, str(run.checkpoints), max_to_keep=config.monitor.checkpoints_kept
    )
    if manager.latest_checkpoint:
        checkpoint.restore(manager.latest_checkpoint).assert_existing_objects_matched()
    first_step = int(pretrainer.optimizer.iterations)
    if first_step:
        print(f"Going on from step {first_step} of {run.path}.", file=sys.stderr)
    with StopOnSignal() as stop:
        _fit(pretrainer, config, source, run, manager, stop, monitors or {}, first_step, steps)
    if stop.stopped:
        raise TrainingStopped(f"Stopped; everything is saved in {run.path}.")
    return run


def build_pretrainer(config: Config, *, steps_per_epoch: int) -> Pretrainer:
    """The networks, queue and optimizer of a recipe, compiled and ready for `fit`.

    Args:
        config: The recipe.
        steps_per_epoch: For the learning rate, which changes once an epoch.

    Raises:
        UserError: if the teacher or `student.init_from` cannot be loaded or does not fit.
    """
    tf.keras.utils.set_random_seed(config.seed)
    objective, size = config.objective, config.data.image_size
    student = build_encoder(config)
    momentum_encoder = queue = teacher = None
    if objective.contrastive_weight > 0:
        momentum_encoder = build_encoder(config)
        momentum_encoder.set_weights(student.get_weights())
        queue = KeyQueue(objective.queue_size, config.student.embedding_dim, seed=config.seed)
    if config.student.init_from is not None:
        restore_run(config, student=student, momentum_encoder=momentum_encoder, queue=queue)
    if config.teacher is not None:
        teacher = load_teacher(config.teacher, image_size=size)
        if teacher.embedding_dim != student.embedding_dim:
            raise UserError(
                f"The teacher's embedding has {teacher.embedding_dim} dimensions and the "
                f"student's {student.embedding_dim}; add "
                f"--set student.embedding_dim={teacher.embedding_dim}."
            )
    pretrainer = Pretrainer(
        student=student,
        teacher=teacher,
        momentum_encoder=momentum_encoder,
        queue=queue,
        contrastive_weight=objective.contrastive_weight,
        distillation_weight=objective.distillation_weight,
        temperature=objective.temperature,
        momentum=objective.momentum,
        key_statistics=objective.key_statistics,
    )
    schedule = build_schedule(
        config.optimizer, epochs=config.epochs, steps_per_epoch=steps_per_epoch
    )
    optimizer = build_optimizer(config.optimizer, schedule, student.trainable_variables)
    pretrainer.compile(optimizer=optimizer)
    return pretrainer


def _fit(pretrainer, config, source, run, manager, stop, monitors, first_step, steps) -> None:
    """Train from `first_step` to the end: first what is left of its epoch, then whole epochs."""
    data = config.data
    augmentation = Augmentation(
        crop_scale=data.crop_scale,
        jitter_probability=data.jitter_probability,
        grayscale_probability=data.grayscale_probability,
        blur_probability=data.blur_probability,
        flip_probability=data.flip_probability,
    )
    epoch, done = divmod(first_step, steps)
    lengths = {"batch_size": data.batch_size, "steps_per_epoch": steps}
    checkpoints = Checkpoints(
        manager, run, every=config.monitor.checkpoint_every, epochs=config.epochs
    )
    callbacks = [
        StopOnNotFinite(manager),
        stop,
        Monitors(monitors, every=config.monitor.knn_every, epochs=config.epochs),
        MetricsLog(run, **lengths, first_epoch=epoch),
        Progress(**lengths, epochs=config.epochs, first_step=first_step),
        checkpoints,
    ]
    legs = [(epoch, epoch + 1, steps - done), (epoch + 1, config.epochs, steps)]
    for begin, end, length in legs if done else [(epoch, config.epochs, steps)]:
        if begin >= end:
            return
        views = view_dataset(
            source,
            augmentation,
            image_size=data.image_size,
            batch_size=data.batch_size,
            views=pretrainer.views,
            seed=config.seed,
            first_step=int(pretrainer.optimizer.iterations),
        )
        pretrainer.fit(
            views,
            initial_epoch=begin,
            epochs=end,
            steps_per_epoch=length,
            callbacks=callbacks,
            verbose=0,
        )
        if stop.stopped:
            checkpoints.save()
            return


def _checkpoint(pretrainer: Pretrainer) -> tf.train.Checkpoint:
    """All that changes while training. The teacher does not, and is not in it."""
    parts = {"student": pretrainer.student, "optimizer": pretrainer.optimizer}
    if pretrainer.momentum_encoder is not None:
        parts.update(momentum_encoder=pretrainer.momentum_encoder, queue=pretrainer.queue)
    return tf.train.Checkpoint(**parts)


def _check_resumable(run: RunDirectory, config: Config, resume: bool) -> None:
    if not run.exists():
        return
    if not resume:
        raise UserError(f"{run.path} already holds a run; choose another --output-dir.")
    before, now = to_dict(run.config), to_dict(config)
    for section in before.keys() - _FREE_TO_CHANGE:
        if before[section] != now[section]:
            raise UserError(
                f"{run.path} holds a run with another '{section}' "
                f"({_difference(before[section], now[section])}); choose another --output-dir."
            )


def _difference(before, now) -> str:
    if isinstance(before, dict) and isinstance(now, dict):
        key = next(key for key in before if before[key] != now.get(key))
        return f"{key}: {before[key]}, now {now.get(key)}"
    return f"{before}, now {now}"


def _warn_of_large_queue(config: Config, source: ImageSource) -> None:
    size = config.objective.queue_size
    if config.objective.contrastive_weight > 0 and size > len(source):
        log.warning(
            "objective.queue_size is %d and the data set has %d images: "
            "an image's own older keys will be among its negatives.",
            size,
            len(source),
        )
