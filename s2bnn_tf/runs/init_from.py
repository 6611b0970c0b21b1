"""Training that goes on from another run: `student.init_from`."""

from __future__ import annotations

import json

import tensorflow as tf

from s2bnn_tf.backbones import Encoder
from s2bnn_tf.config import Config
from s2bnn_tf.errors import UserError
from s2bnn_tf.objectives import KeyQueue
from s2bnn_tf.runs.checkpoints import CheckpointStore
from s2bnn_tf.runs.run_directory import RunDirectory, load_encoder

_BACKBONE_DEFAULTS = {"stem": "imagenet", "width": 1.0, "reverse_input": False}


def restore_run(
    config: Config,
    *,
    student: Encoder,
    momentum_encoder: Encoder | None,
    queue: KeyQueue | None,
) -> None:
    """Load `student.init_from`: step 1 whole, into the networks of step 2.

    The momentum encoder and a queue of the same kind are loaded where both runs have them; a
    momentum encoder that the earlier run does not have starts as a copy of the
    loaded student.

    Args:
        config: The recipe of step 2.
        student: Loaded.
        momentum_encoder: Loaded, or None.
        queue: Loaded, or None.

    Raises:
        UserError: if the run is of another network or its queue of another size.
    """
    run = RunDirectory(config.student.init_from or "")
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
        raise UserError(
            f"{run.path} has a queue of {stored[0]} keys; "
            f"add --set objective.queue_size={stored[0]}."
        )
    parts = {"queue": queue}
    if momentum_encoder is not None:
        parts["momentum_encoder"] = momentum_encoder
    checkpoint = tf.train.Checkpoint(**parts)
    checkpoint.read(saved.prefix).expect_partial().assert_existing_objects_matched()


def _check_same_network(run: RunDirectory, config: Config) -> None:
    """The same architecture; only what step 2 changes may differ."""
    keys = ("backbone", "stem", "width", "reverse_input", "embedding_dim", "head", "hidden_dim")
    for key in keys:
        theirs, ours = (
            _BACKBONE_DEFAULTS.get(key) if value is None else value
            for value in (getattr(run.config.student, key), getattr(config.student, key))
        )
        if theirs != ours:
            raise UserError(
                f"student.init_from: {run.path} was trained with student.{key} {theirs}, "
                f"this recipe has {ours}; make them the same: "
                f"--set student.{key}={json.dumps(theirs)}."
            )
