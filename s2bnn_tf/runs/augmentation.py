"""How a recipe asks for views to be drawn, in the form that the data package takes."""

from __future__ import annotations

from dataclasses import fields

from s2bnn_tf.config import DataConfig
from s2bnn_tf.data import Augmentation


def build_augmentation(config: DataConfig) -> Augmentation:
    """Return the augmentation of a recipe; its fields have the same names in both."""
    return Augmentation(
        **{field.name: getattr(config, field.name) for field in fields(Augmentation)}
    )
