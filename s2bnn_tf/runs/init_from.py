"""Training that starts from another run: `student.init_from`."""

from __future__ import annotations

import json
from typing import Any

import tensorflow as tf

from s2bnn_tf.backbones import Encoder
from s2bnn_tf.config import Config, StudentConfig
from s2bnn_tf.errors import ConfigError
from s2bnn_tf.objectives import KeyQueue
from s2bnn_tf.runs.checkpoints import CheckpointStore
from s2bnn_tf.runs.from_tflite import copy_tflite
from s2bnn_tf.runs.keras_backbone import identity_of, options_of
from s2bnn_tf.runs.run_directory import RunDirectory, load_encoder

# Step 2 may change everything else about the student.
_SAME_IN_BOTH_STEPS = (
    "backbone",
    "stem",
    "width",
    "reverse_input",
    "patch_size",
    "registers",
    "position_grid",
    "layer_scale",
    "embedding_dim",
    "head",
    "hidden_dim",
)


def restore_run(
    config: Config,
    *,
    student: Encoder,
    momentum_encoder: Encoder | None,
    queue: KeyQueue | None,
) -> None:
    """Load the run of step 1, `student.init_from`, into the networks of step 2.

    If `init_from` is a `.tflite`, the backbone begins as that network (see `copy_tflite`), and the
    head with random weights.

    The momentum encoder and a queue of the same kind are loaded if both runs have them. If
    only step 2 has a momentum encoder, it starts as a copy of the loaded student.

    Args:
        config: The recipe of step 2.
        student: The student of step 2, which receives the weights.
        momentum_encoder: The momentum encoder of step 2, or None.
        queue: The queue of step 2, or None.

    Raises:
        CheckpointError: If the run of step 1 is missing, unfinished or damaged.
        ConfigError: If that run has another network or a queue of another size.
    """
    if config.student.init_file is not None:
        copy_tflite(config.student.init_file, student.backbone)
        if momentum_encoder is not None:
            momentum_encoder.set_weights(student.get_weights())
        return
    run = RunDirectory(config.student.init_run or "")
    if run.config.data.channels != config.data.channels:
        theirs = run.config.data.channels
        raise ConfigError(
            f"student.init_from: {run.path} was trained with data.channels {theirs}, this recipe "
            f"has {config.data.channels}; make them the same: --set data.channels={theirs}."
        )
    _check_same_network(run, config)
    student.set_weights(load_encoder(run.path, image_size=config.data.image_size).get_weights())
    if queue is None:
        return
    if momentum_encoder is not None:
        momentum_encoder.set_weights(student.get_weights())
    saved = CheckpointStore(run.checkpoints).newest()
    if saved is None:
        return
    shapes = dict(tf.train.list_variables(saved.prefix))
    stored = shapes.get("queue/keys/.ATTRIBUTES/VARIABLE_VALUE")
    of_teacher, wanted = (c.objective.similarity_weight > 0 for c in (run.config, config))
    if stored is None or of_teacher != wanted:
        return
    if stored != queue.keys.shape.as_list():
        raise ConfigError(
            f"{run.path} has a queue of {stored[0]} keys; "
            f"add --set objective.queue_size={stored[0]}."
        )
    parts: dict[str, tf.Module] = {"queue": queue}
    if momentum_encoder is not None:
        parts["momentum_encoder"] = momentum_encoder
    checkpoint = tf.train.Checkpoint(**parts)
    checkpoint.read(saved.prefix).expect_partial().assert_existing_objects_matched()


def _check_same_network(run: RunDirectory, config: Config) -> None:
    """Check that both steps have the same architecture."""
    for key in _SAME_IN_BOTH_STEPS:
        theirs, ours = _option(run.config.student, key), _option(config.student, key)
        if theirs != ours:
            raise ConfigError(
                f"student.init_from: {run.path} was trained with student.{key} {theirs}, "
                f"this recipe has {ours}; make them the same: "
                f"--set student.{key}={json.dumps(theirs)}."
            )


def _option(student: StudentConfig, key: str) -> Any:
    """The value of a key, which is the backbone's own default where the recipe has None."""
    value = getattr(student, key)
    if key == "backbone":
        return identity_of(student.backbone)
    return options_of(student.backbone).get(key) if value is None else value
