"""The losses about maps: what a network knows of every place in the picture."""

from __future__ import annotations

import tensorflow as tf

from s2bnn_tf.objectives.checks import check_temperature, maps_of_places

_NOT_ITSELF = -1e9  # the logit of a place's similarity to itself, which says nothing


def places_loss(
    places: tf.Tensor,
    target: tf.Tensor,
    temperature: float,
    teacher_temperature: float | None = None,
) -> tf.Tensor:
    """Match how similar the places of a picture are to each other.

    Let s_ab be the cosine of the places a and b of one picture in a map, without a = b. With
    `p_a = softmax_b(s_ab of target / T')` and `q_a = softmax_b(s_ab of places / T)`,

    `L = mean_i mean_a KL(p_ia || q_ia)`

    The two maps may have different channels, as their similarities are compared, not themselves.

    >>> left, right = [1.0, 0.0], [0.0, 1.0]
    >>> ours, theirs = tf.constant([[left, left, right]]), tf.constant([[left, right, right]])
    >>> places_loss(ours, ours, 1.0).numpy(), places_loss(ours, theirs, 1.0).numpy().round(4)
    (0.0, 0.2311)

    Args:
        places: The student's maps, `(B, P, C)`, P places, at least two.
        target: The teacher's maps of the same views, `(B, P, C')`.
        temperature: The temperature T of the student's distributions, above 0.
        teacher_temperature: The temperature T' of the teacher's; defaults to T.

    Returns:
        A scalar in nats, at least 0, float32 even if the maps are float16. No gradient reaches the
        target.

    Raises:
        ValueError: If the shapes do not fit each other, there are fewer than two places, the batch
            is empty, or a temperature is not above 0.

    References:
        Similarity-preserving distillation, https://arxiv.org/abs/1907.09682, which compares images
        so; here places are compared.
    """
    if teacher_temperature is None:
        teacher_temperature = temperature
    check_temperature(temperature)
    check_temperature(teacher_temperature)
    places, target = maps_of_places(places, tf.stop_gradient(target))
    theirs = _similarities(target) / teacher_temperature
    ours = _similarities(places) / temperature
    itself = _NOT_ITSELF * tf.eye(tf.shape(places)[1], dtype=places.dtype)
    logs, own = tf.nn.log_softmax(theirs + itself), tf.nn.log_softmax(ours + itself)
    return tf.reduce_mean(tf.reduce_sum(tf.exp(logs) * (logs - own), axis=-1))


def signs_loss(places: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Regress the signs of the teacher's maps, which is what one bit can hold of them.

    The thresholds are the teacher's means m over the batch and all places, as its features may
    all be positive. With `b = sign(target - m) / sqrt(C)`, of unit length, and sign(0) = 1,

    `L = mean_i mean_a |places_ia / |places_ia| - b_ia|^2`

    >>> places = tf.constant([[[1.0, 1.0], [-1.0, 1.0]]])
    >>> signs_loss(places, places).numpy(), signs_loss(-places, places).numpy().round(4)
    (0.0, 4.0)

    Args:
        places: The student's maps, `(B, P, C)`, P places.
        target: The teacher's maps of the same views, `(B, P, C)`.

    Returns:
        A scalar in [0, 4], float32 even if the maps are float16. No gradient reaches the target.

    Raises:
        ValueError: If the shapes differ, there are fewer than two places, or the batch is empty.

    References:
        SQuaT (student-aware quantized teacher features), AISTATS 2026,
        https://virtual.aistats.org/virtual/2026/poster/13757, which quantizes the teacher's
        features by the student's parameters.
    """
    places, target = maps_of_places(places, tf.stop_gradient(target), same_channels=True)
    centered = target - tf.reduce_mean(target, axis=(0, 1))
    ones = tf.ones_like(centered)
    bits = tf.math.l2_normalize(tf.where(centered < 0, -ones, ones), axis=-1)
    unit = tf.math.l2_normalize(places, axis=-1)
    return tf.reduce_mean(tf.reduce_sum(tf.square(unit - bits), axis=-1))


def _similarities(places: tf.Tensor) -> tf.Tensor:
    """The cosines of all pairs of places, `(B, P, P)`."""
    unit = tf.math.l2_normalize(places, axis=-1)
    return tf.matmul(unit, unit, transpose_b=True)
