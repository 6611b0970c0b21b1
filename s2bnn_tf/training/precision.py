"""The precision that networks compute in."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from s2bnn_tf.config import Config

keras = tf.keras

_POLICIES = {"float32": "float32", "float16": "mixed_float16", "bfloat16": "mixed_bfloat16"}


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
