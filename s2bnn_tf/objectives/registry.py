"""Objectives by name: one registered function adds a loss."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from s2bnn_tf.errors import ConfigError
from s2bnn_tf.objectives.checks import paired
from s2bnn_tf.registry import Registry

Objective = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

# Those that have keys of their own in a recipe, and names in metrics.jsonl.
_BUILT_IN = (
    *("contrastive", "distillation", "similarity", "regression", "words", "places", "signs"),
    "custom",
)
_TRIED = 4  # pictures
_OBJECTIVES: Registry[Objective] = Registry("objective", reserved=_BUILT_IN)


def register_objective(name: str) -> Callable[[Objective], Objective]:
    """Make a loss available as `objective.custom: name`, with `objective.custom_weight`.

    The decorated function takes the student's embeddings `query` and the teacher's embeddings
    `target` of the same views, both float32 `(B, D)` of unit length, and returns a scalar that is
    to be minimized. It consists of TensorFlow's operations, since it runs inside a graph. No
    gradient reaches the target.

    >>> @register_objective("angle")
    ... def angle(query, target):
    ...     return tf.reduce_mean(1 - tf.reduce_sum(query * target, axis=-1))
    >>> custom_loss("angle", tf.constant([[1.0, 0.0]]), tf.constant([[0.0, 1.0]])).numpy()
    1.0

    Args:
        name: The name to use in a recipe.

    Raises:
        ConfigError: If another function has the name.
    """
    return _OBJECTIVES.decorator(name)


def objective_names() -> list[str]:
    """The names that were registered, sorted.

    >>> register_objective("steep")(lambda query, target: query[0, 0]) is not None
    True
    >>> "steep" in objective_names()
    True
    """
    return _OBJECTIVES.names()


def objective_plugin(name: str | None) -> str | None:
    """The plugin that has registered an objective; None if none has.

    >>> objective_plugin("regression") is None
    True
    """
    return None if name is None else _OBJECTIVES.plugin_of(name)


def check_objective(name: str) -> None:
    """Check that an objective is registered.

    >>> register_objective("smooth")(lambda query, target: query[0, 0]) is not None
    True
    >>> check_objective("smooth")

    Raises:
        ConfigError: If it is not.
    """
    _OBJECTIVES.get(name)


def try_objective(name: str, dim: int) -> None:
    """Compute an objective once, so that its faults show before training.

    >>> register_objective("flat")(lambda query, target: tf.reduce_sum(query - target)) is not None
    True
    >>> try_objective("flat", 8)

    Args:
        name: The name of the objective.
        dim: The dimension D of the embeddings.

    Raises:
        ConfigError: If there is no such objective, or it fails, or does not return a scalar.
    """
    pair = tf.math.l2_normalize(tf.random.stateless_normal((2, _TRIED, dim), (0, dim)), axis=-1)
    try:
        custom_loss(name, pair[0], pair[1])
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(
            f"The objective {name!r} fails on embeddings of the shape ({_TRIED}, {dim}): "
            f"{type(error).__name__}: {(str(error).strip() or 'no reason').splitlines()[0]}; mend "
            "it."
        ) from error


def custom_loss(name: str, query: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Compute the loss that was registered under a name; see `register_objective`.

    >>> register_objective("first")(lambda query, target: query[0, 0]) is not None
    True
    >>> custom_loss("first", tf.ones((2, 3)), tf.ones((2, 3))).numpy()
    1.0

    Args:
        name: The name of the objective.
        query: The student's embeddings, `(B, D)`, unit length.
        target: The teacher's embeddings of the same views, `(B, D)`, unit length.

    Returns:
        A scalar, float32.

    Raises:
        ConfigError: If there is no such objective, or it does not return a scalar.
        ValueError: If the shapes differ, or the batch is empty.
    """
    query, target = paired(query, tf.stop_gradient(target))
    loss = tf.convert_to_tensor(_OBJECTIVES.get(name)(query, target))
    if loss.shape.rank != 0 or not loss.dtype.is_floating:
        raise ConfigError(
            f"The objective {name!r} returns {loss.dtype.name} of the shape {loss.shape} where a "
            "single number is expected; end it with tf.reduce_mean."
        )
    return tf.cast(loss, query.dtype)
