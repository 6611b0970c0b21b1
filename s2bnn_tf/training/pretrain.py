"""A whole run: from a recipe to a run directory, resumable at every step."""

from __future__ import annotations

import contextlib
import logging
import math
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import tensorflow as tf

from s2bnn_tf.collecting import few_collections
from s2bnn_tf.config import Config
from s2bnn_tf.data import ImageSource, open_source, steps_per_epoch
from s2bnn_tf.errors import ConfigError
from s2bnn_tf.locks import DirectoryLock
from s2bnn_tf.runs import CheckpointStore, RunDirectory, write_origin
from s2bnn_tf.teachers import teacher_origin, write_space
from s2bnn_tf.training.build import build_pretrainer, fit_head
from s2bnn_tf.training.distribution import is_chief, open_strategy
from s2bnn_tf.training.fitting import Training
from s2bnn_tf.training.guidance import KeptTeacher, prepare_guidance, record_guidance
from s2bnn_tf.training.loggers import check_loggers
from s2bnn_tf.training.monitors import Monitor
from s2bnn_tf.training.resuming import check_resumable, check_same_images
from s2bnn_tf.training.settling import settle_student
from s2bnn_tf.training.step_memory import check_step_fits
from s2bnn_tf.training.stopping import TrainingStopped

keras = tf.keras

log = logging.getLogger(__name__)

_SHORTEST_EPOCH, _LONGEST_EPOCH = 25, 1000  # steps, where the recipe counts in steps
_LITTLE = 0.1  # of the images


def pretrain(
    config: Config,
    output_dir: str | Path,
    *,
    resume: bool = True,
    monitors: Mapping[str, Monitor] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    strategy: tf.distribute.Strategy | None = None,
    kept: KeptTeacher | None = None,
) -> RunDirectory:
    """Train a student as a recipe describes.

    Args:
        config: The recipe.
        output_dir: The run directory. An unfinished run of the same recipe in it is resumed.
        resume: Whether to resume; False refuses a directory that already holds a run.
        monitors: Functions from the student to a score, by name, called every
            `monitor.knn_every` epochs; the scores go to `metrics.jsonl`.
        callbacks: Callbacks of Keras, whose `model` is a `Pretrainer`. Their exceptions pass
            through, and one that sets `stop_training` ends the run there, with everything saved.
        strategy: The strategy to train with, where it had to be opened earlier; defaults to
            `open_strategy(config.distribution)`.
        kept: The teacher of the run before, which a run from the same targets uses again.

    Returns:
        The run directory, with `encoder.weights.h5`.

    Raises:
        ConfigError: If the recipe is not possible here, does not fit into the memory, or is not
            that of the run in the directory, or a logger is not installed.
        CheckpointError: If the directory cannot be written to, or its run cannot be resumed.
        DataError: If the images cannot be used.
        NotFiniteError: If the loss became infinite or not a number.
        TrainingStopped: After Ctrl-C or SIGTERM, when everything is saved.
    """
    check_loggers(config.loggers)
    strategy = strategy or open_strategy(config.distribution)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    run, chief = RunDirectory(output_dir), is_chief(strategy)
    with _place_to_write(run, chief=chief) as (place, lock), contextlib.ExitStack() as stack:
        source = open_source(config.data.source, "train")
        config = _shorten_queue(config, len(source), run)
        config = _head_of_earlier(config, run)
        check_resumable(run, config, resume=resume)
        epochs, steps = run_length(config, source)
        _check_divisible(config, strategy)
        counted = replace(config, epochs=epochs)
        guidance = prepare_guidance(config, source, run, place, kept=kept)
        started = stack.enter_context(few_collections())
        pretrainer = build_pretrainer(
            counted, steps_per_epoch=steps, strategy=strategy, guidance=guidance
        )
        config, counted = (fit_head(c, pretrainer.student) for c in (config, counted))
        if strategy.num_replicas_in_sync == 1 and strategy.cluster_resolver is None:
            check_step_fits(
                counted,
                student=pretrainer.student,
                teacher=pretrainer.teacher,
                images=source.bytes_in_memory,
            )
        _say_what_is_left_out(config, len(source))
        training = Training(
            config=counted,
            pretrainer=pretrainer,
            source=source,
            steps_per_epoch=steps,
            run=place,
            lock=lock,
            store=_store(place, config),
            strategy=strategy,
            stored=guidance.stored,
        )
        settle_student(counted, source, pretrainer)
        _restore(training, run)
        _explain_rising_loss(counted, steps, done=pretrainer.steps_done())
        place.create(config)
        record_guidance(guidance, place)
        if config.teacher is not None:
            write_origin(place, teacher_origin(config.teacher.weights))
            write_space(place, config.teacher)
        training.store.clean()
        starting = keras.callbacks.LambdaCallback(on_train_batch_end=lambda *_: started())
        if training.fit(monitors or {}, [starting, *callbacks]):
            raise TrainingStopped(f"Stopped; everything is saved in {run.path}.")
    return run


def run_length(config: Config, source: ImageSource) -> tuple[int, int]:
    """Return the number of epochs of a run, and the number of steps in each.

    With `steps` in the recipe, an epoch is what is logged, scored and saved together: a pass over
    the images if that takes 25 to 1,000 steps, and otherwise as many steps. The last epoch is
    whole too, so that a few steps more may be trained.

    Raises:
        DataError: If there are fewer images than a batch has.
    """
    steps = steps_per_epoch(source, config.data.batch_size)
    if config.steps is None:
        return config.epochs, steps
    length = min(max(steps, _SHORTEST_EPOCH), _LONGEST_EPOCH, config.steps)
    return math.ceil(config.steps / length), length


def _restore(training: Training, run: RunDirectory) -> None:
    """Restore the newest whole checkpoint of a run, if there is one."""
    saved = _store(run, training.config).newest()
    if saved is None:
        return
    check_same_images(run, saved.facts, len(training.source))
    epochs = saved.step / training.steps_per_epoch
    if epochs > training.config.epochs:
        raise ConfigError(
            f"{run.path} has trained for {epochs:g} epochs already; set epochs to "
            f"{math.ceil(epochs)} or more."
        )
    training.restore(saved.prefix)
    print(f"Resuming from step {saved.step} of {run.path}.", file=sys.stderr)


def _store(run: RunDirectory, config: Config) -> CheckpointStore:
    monitor = config.monitor
    return CheckpointStore(
        run.checkpoints, keep=monitor.checkpoints_kept, keep_hours=monitor.keep_hours
    )


@contextlib.contextmanager
def _place_to_write(
    run: RunDirectory, *, chief: bool
) -> Iterator[tuple[RunDirectory, DirectoryLock]]:
    """Lock the run directory or, for a worker that is not the chief, a temporary one."""
    with contextlib.ExitStack() as stack:
        if not chief:
            run = RunDirectory(stack.enter_context(tempfile.TemporaryDirectory()))
        yield run, stack.enter_context(DirectoryLock(run.path))


def _check_divisible(config: Config, strategy: tf.distribute.Strategy) -> None:
    parts = strategy.num_replicas_in_sync * config.optimizer.accumulation_steps
    if config.data.batch_size % parts:
        raise ConfigError(
            f"data.batch_size is {config.data.batch_size}, which cannot be divided by {parts} "
            "(devices times optimizer.accumulation_steps); choose a multiple of that."
        )


def _explain_rising_loss(config: Config, steps_per_epoch: int, *, done: int) -> None:
    """Say why the loss rises at first, where that shows in the mean of an epoch."""
    filling = config.steps_to_fill_queue
    if filling > max(done, steps_per_epoch // 10):
        log.info(
            "The queue of %d keys starts with random ones and is full after step %d (epoch %.3g); "
            "the loss rises until then, since keys of images are harder to tell apart.",
            config.objective.queue_size,
            filling,
            filling / steps_per_epoch,
        )


def _shorten_queue(config: Config, images: int, run: RunDirectory) -> Config:
    """Let a queue hold no more keys than there are images, unless an earlier run had more."""
    asked = config.objective.queue_size
    weights = config.objective.contrastive_weight, config.objective.similarity_weight
    if asked <= images or not any(weights):
        return config
    before = config.student.init_run
    earlier = [run] if before is None else [run, RunDirectory(before)]
    if any(e.exists() and e.config.objective.queue_size == asked for e in earlier):
        return config
    # With a quarter as many keys as images, an image meets its last key once in 32 epochs.
    log.warning(
        "objective.queue_size is %d and the dataset has %d images, so the queue holds %d keys, "
        "and an image's own older keys are among its negatives; set objective.queue_size to %d "
        "or less.",
        asked,
        images,
        images,
        max(1, images // 4),
    )
    return replace(config, objective=replace(config.objective, queue_size=images))


def _head_of_earlier(config: Config, run: RunDirectory) -> Config:
    """The recipe with the dimension that the teacher gave to an earlier start of the run."""
    if config.teacher is None or not run.exists():
        return config
    dim = run.config.student.embedding_dim
    return replace(config, student=replace(config.student, embedding_dim=dim))


def _say_what_is_left_out(config: Config, images: int) -> None:
    """Warn where so much of each epoch makes no whole batch that it matters."""
    batch = config.data.batch_size
    if images % batch > images * _LITTLE:
        log.warning(
            "With data.batch_size %d, %d of the %d images make no whole batch and wait for a later "
            "epoch, other ones each time; a smaller batch loses fewer.",
            batch,
            images % batch,
            images,
        )
