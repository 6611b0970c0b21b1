"""The recipe's augmentation reaches the data package field by field."""

from __future__ import annotations

from s2bnn_tf.config import AUGMENTATIONS, DataConfig
from s2bnn_tf.data import Augmentation
from s2bnn_tf.runs import build_augmentation


def test_every_field_comes_from_the_recipe():
    config = DataConfig(
        crop_scale=(0.3, 0.9),
        jitter_probability=0.1,
        grayscale_probability=0.2,
        blur_probability=0.3,
        flip_probability=0.4,
    )
    assert build_augmentation(config) == Augmentation((0.3, 0.9), 0.1, 0.2, 0.3, 0.4)


def test_a_preset_fills_in_the_rest():
    preset = AUGMENTATIONS["moco_v2"]
    config = DataConfig(augmentation="moco_v2", blur_probability=0.0)
    assert build_augmentation(config) == Augmentation(**{**preset, "blur_probability": 0.0})
