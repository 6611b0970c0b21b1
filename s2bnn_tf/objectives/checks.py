"""What every loss checks before it computes: shapes, which must not broadcast, and temperatures."""

from __future__ import annotations

import math

import tensorflow as tf


def paired(query: tf.Tensor, target: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Check two embeddings of the same images, and bring them to one type.

    Under mixed precision the one may be float16 and the other float32. Losses are computed in
    float32 at least, since the logarithms and the sums of float16 are too coarse.

    Args:
        query: `(B, D)`, B above 0, floating-point.
        target: `(B, D)`, floating-point.

    Raises:
        ValueError: If a shape or a type is another one. Where a shape is not known before a graph
            runs, running it raises `tf.errors.InvalidArgumentError`.
    """
    query, target = _floats(query, "query"), _floats(target, "target")
    if query.dtype != target.dtype:
        query, target = tf.cast(query, tf.float64), tf.cast(target, tf.float64)
    if not query.shape.is_compatible_with(target.shape):
        raise ValueError(
            f"Queries and targets belong together one by one, and their shapes are {query.shape} "
            f"and {target.shape}."
        )
    if query.shape[0] == 0 or target.shape[0] == 0:
        raise ValueError("The batch is empty, and a loss is a mean over it.")
    if query.shape.is_fully_defined() and target.shape.is_fully_defined():
        return query, target
    sizes = tf.shape(query)
    checks = [
        tf.debugging.assert_equal(sizes, tf.shape(target), "queries and targets differ in shape"),
        tf.debugging.assert_positive(sizes, "the batch is empty"),
    ]
    with tf.control_dependencies(checks):
        return tf.identity(query), tf.identity(target)


def rows_of(keys: tf.Tensor, query: tf.Tensor) -> tf.Tensor:
    """Check the keys that each query is compared with, and bring them to its type.

    Args:
        keys: `(K, D)`, floating-point.
        query: `(B, D)`.

    Raises:
        ValueError: As `paired` does.
    """
    keys = _floats(keys, "queue_keys")
    if not keys.shape[1:].is_compatible_with(query.shape[1:]):
        raise ValueError(
            f"Queries of dimension {query.shape[1]} cannot be compared with keys of dimension "
            f"{keys.shape[1]}."
        )
    return tf.cast(keys, query.dtype)


def maps_of_places(
    places: tf.Tensor, target: tf.Tensor, *, same_channels: bool = False
) -> tuple[tf.Tensor, tf.Tensor]:
    """Check the maps of the same images, and bring them to one type.

    Args:
        places: `(B, P, C)`, B above 0 and P above 1, floating-point.
        target: `(B, P, C')`, floating-point.
        same_channels: Whether C and C' have to be the same.

    Raises:
        ValueError: If a shape or a type is another one.
    """
    places, target = _floats(places, "places", rank=3), _floats(target, "target", rank=3)
    if places.dtype != target.dtype:
        places, target = tf.cast(places, tf.float64), tf.cast(target, tf.float64)
    compared = slice(0, 3 if same_channels else 2)
    if not places.shape[compared].is_compatible_with(target.shape[compared]):
        raise ValueError(
            f"Maps belong together place by place, and their shapes are {places.shape} and "
            f"{target.shape}."
        )
    if places.shape[0] == 0 or places.shape[1] in (0, 1):
        raise ValueError(f"A batch of maps with two places at least is expected: {places.shape}.")
    return places, target


def check_temperature(temperature: float) -> None:
    """Check that a temperature is above 0 and finite.

    Raises:
        ValueError: If it is not.
    """
    if not tf.is_tensor(temperature) and not 0 < temperature < math.inf:
        raise ValueError(f"A temperature is a number above 0, not {temperature}.")


def _floats(rows: tf.Tensor, name: str, rank: int = 2) -> tf.Tensor:
    rows = tf.convert_to_tensor(rows)
    if not rows.dtype.is_floating:
        raise ValueError(f"{name} must hold floating-point numbers, not {rows.dtype.name}.")
    if rows.shape.rank is None:
        rows = tf.ensure_shape(rows, [None] * rank)
    if rows.shape.rank != rank:
        axes = "(rows, D)" if rank == 2 else "(B, P, C)"
        raise ValueError(f"{name} must have the shape {axes}, not {rows.shape}.")
    return rows if rows.dtype == tf.float64 else tf.cast(rows, tf.float32)
